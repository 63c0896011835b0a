package podtopologyspread

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	appslisters "k8s.io/client-go/listers/apps/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

// owners know which pods belong together.
type owners struct {
	services     corelisters.ServiceLister
	controllers  corelisters.ReplicationControllerLister
	replicaSets  appslisters.ReplicaSetLister
	statefulSets appslisters.StatefulSetLister
	synced       []cache.InformerSynced
}

func newOwners(f informers.SharedInformerFactory) owners {
	services, controllers := f.Core().V1().Services(), f.Core().V1().ReplicationControllers()
	replicaSets, statefulSets := f.Apps().V1().ReplicaSets(), f.Apps().V1().StatefulSets()
	return owners{
		services: services.Lister(), controllers: controllers.Lister(),
		replicaSets: replicaSets.Lister(), statefulSets: statefulSets.Lister(),
		synced: []cache.InformerSynced{
			services.Informer().HasSynced, controllers.Informer().HasSynced,
			replicaSets.Informer().HasSynced, statefulSets.Informer().HasSynced,
		},
	}
}

func (o owners) hasSynced() bool {
	for _, synced := range o.synced {
		if !synced() {
			return false
		}
	}
	return true
}

// selector selects the pods that are in the same services and of the same owner
// as pod; it is empty if there are none such.
func (o owners) selector(pod *corev1.Pod) labels.Selector {
	selector := o.serviceLabels(pod).AsSelector()
	owner := metav1.GetControllerOfNoCopy(pod)
	if owner == nil {
		return selector
	}
	requirements, _ := o.of(pod.Namespace, owner).Requirements()
	return selector.Add(requirements...)
}

// serviceLabels are the labels that the pod's services select by. They cannot
// contradict each other: the pod has them all.
func (o owners) serviceLabels(pod *corev1.Pod) labels.Set {
	all := labels.Set{}
	services, _ := o.services.Services(pod.Namespace).List(labels.Everything()) // it never fails: it is in memory
	for _, service := range services {
		if selects(service.Spec.Selector, pod.Labels) {
			for key, value := range service.Spec.Selector {
				all[key] = value
			}
		}
	}
	return all
}

// selects compares as a selector does, of which none is made for each service. A
// service without selector has no pods.
func selects(selector, podLabels map[string]string) bool {
	for key, value := range selector {
		if has, ok := podLabels[key]; !ok || has != value {
			return false
		}
	}
	return selector != nil
}

// of returns the selector of an owner, one of nothing for any other kind or one
// that is gone.
func (o owners) of(namespace string, owner *metav1.OwnerReference) labels.Selector {
	var selector *metav1.LabelSelector
	switch owner.APIVersion + "/" + owner.Kind {
	case corev1.SchemeGroupVersion.String() + "/ReplicationController":
		if rc, err := o.controllers.ReplicationControllers(namespace).Get(owner.Name); err == nil {
			selector = &metav1.LabelSelector{MatchLabels: rc.Spec.Selector}
		}
	case appsv1.SchemeGroupVersion.String() + "/ReplicaSet":
		if rs, err := o.replicaSets.ReplicaSets(namespace).Get(owner.Name); err == nil {
			selector = rs.Spec.Selector
		}
	case appsv1.SchemeGroupVersion.String() + "/StatefulSet":
		if ss, err := o.statefulSets.StatefulSets(namespace).Get(owner.Name); err == nil {
			selector = ss.Spec.Selector
		}
	}
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return labels.Nothing()
	}
	return parsed
}
