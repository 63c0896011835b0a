package refs

import (
	"maps"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"

	"skiff/server/controller"
)

// Wake makes a source of the objects that a kind of controller owns: a change
// wakes the controllers of the object before and after it. An object without a
// controller wakes whoever of the owners could adopt it, found by orphan (nil if
// the kind adopts nothing).
func Wake[T any, P interface {
	*T
	metav1.Object
}](informer cache.SharedIndexInformer, kind schema.GroupVersionKind, orphan func(obj P, enqueue func(string))) controller.Source {
	return controller.Watch(informer, func(old, new *T, enqueue func(string)) {
		var was, is string
		var owned bool
		if old != nil {
			if was, owned = Controller(P(old), kind); owned {
				enqueue(was)
			}
		}
		if new == nil {
			return
		}
		if is, owned = Controller(P(new), kind); owned {
			if is != was {
				enqueue(is)
			}
			return
		}
		if orphan == nil || metav1.GetControllerOfNoCopy(P(new)) != nil || P(new).GetDeletionTimestamp() != nil {
			return
		}
		if old == nil || was != "" || !maps.Equal(P(old).GetLabels(), P(new).GetLabels()) || metav1.GetControllerOfNoCopy(P(old)) != nil {
			orphan(P(new), enqueue)
		}
	})
}

// Matching calls enqueue for those owners in the indexer's namespace of obj whose
// selector matches it.
func Matching[T metav1.Object](ix cache.Indexer, obj metav1.Object, selector func(T) *metav1.LabelSelector, enqueue func(string)) {
	owners, err := ix.ByIndex(cache.NamespaceIndex, obj.GetNamespace())
	if err != nil {
		return
	}
	for _, o := range owners {
		owner, ok := o.(T)
		if !ok {
			continue
		}
		s, err := metav1.LabelSelectorAsSelector(selector(owner))
		if err == nil && !s.Empty() && s.Matches(labels.Set(obj.GetLabels())) {
			enqueue(controller.Key(owner))
		}
	}
}
