// Package namespace empties namespaces that are being deleted and lets them go.
//
// What has to be deleted is found by discovery, so that it covers custom and
// aggregated resources: pods first, then everything else by deletecollection.
// What remains (grace periods, finalizers) shows in the namespace's conditions.
package namespace

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/utils/clock"

	"skiff/server/controller"
)

// New returns the controller; its keys are namespaces' names.
func New(client kubernetes.Interface, meta metadata.Interface, f informers.SharedInformerFactory, clk clock.PassiveClock) controller.Controller {
	ns := f.Core().V1().Namespaces()
	return controller.Controller{
		Name: "namespace", Reconciler: &reconciler{client: client, meta: meta, clock: clk}, Workers: 10,
		Sources: []controller.Source{
			controller.Watch(ns.Informer(), func(old, new *corev1.Namespace, enqueue func(string)) {
				if new != nil && new.DeletionTimestamp != nil && held(new) && (old == nil || old.DeletionTimestamp == nil) {
					enqueue(new.Name)
				}
			}),
			// The last pod's end is what most deletions wait for.
			controller.Watch(f.Core().V1().Pods().Informer(), func(old, new *corev1.Pod, enqueue func(string)) {
				if new != nil {
					return
				}
				if n, err := ns.Lister().Get(old.Namespace); err == nil && n.DeletionTimestamp != nil {
					enqueue(old.Namespace)
				}
			}),
		},
	}
}

func held(ns *corev1.Namespace) bool {
	for _, f := range ns.Spec.Finalizers {
		if f == corev1.FinalizerKubernetes {
			return true
		}
	}
	return false
}

type reconciler struct {
	client kubernetes.Interface
	meta   metadata.Interface
	clock  clock.PassiveClock
}

// Reconcile implements controller.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, key string) (controller.Result, error) {
	ns, err := r.client.CoreV1().Namespaces().Get(ctx, key, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && (ns.DeletionTimestamp == nil || !held(ns)) {
		return controller.Result{}, nil
	}
	if err != nil {
		return controller.Result{}, err
	}
	if ns.Status.Phase != corev1.NamespaceTerminating {
		ns.Status.Phase = corev1.NamespaceTerminating
		if ns, err = r.client.CoreV1().Namespaces().UpdateStatus(ctx, ns, metav1.UpdateOptions{}); err != nil {
			return controller.Result{}, ignoreGone(err)
		}
	}
	rep := r.empty(ctx, ns)
	if err := r.report(ctx, ns, rep); err != nil {
		return controller.Result{}, ignoreGone(err)
	}
	if err := errors.Join(rep.errs()...); err != nil {
		return controller.Result{}, fmt.Errorf("empty namespace %s: %w", key, err)
	}
	if rep.wait > 0 {
		return controller.Result{RequeueAfter: rep.wait}, nil
	}
	return controller.Result{}, r.finalize(ctx, ns)
}

func ignoreGone(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// finalize takes our finalizer off, after which the API removes the namespace.
func (r *reconciler) finalize(ctx context.Context, ns *corev1.Namespace) error {
	fresh, err := r.client.CoreV1().Namespaces().Get(ctx, ns.Name, metav1.GetOptions{})
	if err != nil || fresh.UID != ns.UID {
		return ignoreGone(err)
	}
	var rest []corev1.FinalizerName
	for _, f := range fresh.Spec.Finalizers {
		if f != corev1.FinalizerKubernetes {
			rest = append(rest, f)
		}
	}
	fresh.Spec.Finalizers = rest
	_, err = r.client.CoreV1().Namespaces().Finalize(ctx, fresh, metav1.UpdateOptions{})
	return ignoreGone(err)
}

// empty deletes the namespace's content. Pods go first: what they need (service
// accounts, network policies, config) stays until they are gone.
func (r *reconciler) empty(ctx context.Context, ns *corev1.Namespace) *findings {
	rep := &findings{remaining: map[schema.GroupVersionResource]int{}, finalizers: map[string]int{}}
	lists, err := r.client.Discovery().ServerPreferredNamespacedResources()
	if err != nil { // some groups may be known all the same
		rep.discovery = err
	}
	gvrs, err := discovery.GroupVersionResources(discovery.FilteredBy(discovery.SupportsAllVerbs{Verbs: []string{"delete"}}, lists))
	if err != nil {
		rep.parsing = err
	}
	verbs := verbsOf(lists)
	pods := corev1.SchemeGroupVersion.WithResource("pods")
	if _, ok := gvrs[pods]; ok {
		if err := r.emptyResource(ctx, ns, pods, verbs, rep); err != nil {
			rep.content = append(rep.content, fmt.Errorf("failed to delete pods for namespace: %s, err: %w", ns.Name, err))
			return rep
		}
		if rep.remaining[pods] > 0 {
			return rep
		}
		delete(gvrs, pods)
	}
	for gvr := range gvrs {
		if err := r.emptyResource(ctx, ns, gvr, verbs, rep); err != nil {
			rep.content = append(rep.content, err)
		}
	}
	return rep
}

func verbsOf(lists []*metav1.APIResourceList) map[schema.GroupVersionResource]map[string]bool {
	out := map[schema.GroupVersionResource]map[string]bool{}
	for _, l := range lists {
		gv, err := schema.ParseGroupVersion(l.GroupVersion)
		if err != nil {
			continue
		}
		for _, res := range l.APIResources {
			verbs := map[string]bool{}
			for _, v := range res.Verbs {
				verbs[v] = true
			}
			out[gv.WithResource(res.Name)] = verbs
		}
	}
	return out
}

// finalizerWait is how long to wait for others' finalizers.
const finalizerWait = 5 * time.Second

// emptyResource deletes all objects of one resource and counts what remains.
func (r *reconciler) emptyResource(ctx context.Context, ns *corev1.Namespace, gvr schema.GroupVersionResource, verbs map[schema.GroupVersionResource]map[string]bool, rep *findings) error {
	c := r.meta.Resource(gvr).Namespace(ns.Name)
	if !verbs[gvr]["list"] {
		return nil
	}
	before, err := c.List(ctx, metav1.ListOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) || err == nil && len(before.Items) == 0 {
		return nil // nothing there, or the resource itself went away
	}
	if err != nil {
		return err
	}
	background := metav1.DeletePropagationBackground
	opts := metav1.DeleteOptions{PropagationPolicy: &background}
	if verbs[gvr]["deletecollection"] {
		err = c.DeleteCollection(ctx, opts, metav1.ListOptions{})
	} else {
		for i := range before.Items {
			if derr := c.Delete(ctx, before.Items[i].Name, opts); derr != nil && !apierrors.IsNotFound(derr) {
				err = derr
			}
		}
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	after, err := c.List(ctx, metav1.ListOptions{})
	if err != nil {
		return ignoreGone(err)
	}
	return r.countRemaining(ns, gvr, after.Items, rep)
}

func (r *reconciler) countRemaining(ns *corev1.Namespace, gvr schema.GroupVersionResource, items []metav1.PartialObjectMetadata, rep *findings) error {
	if len(items) == 0 {
		return nil
	}
	rep.remaining[gvr] = len(items)
	var grace time.Duration
	held := false
	for _, o := range items {
		for _, f := range o.Finalizers {
			rep.finalizers[f]++
			held = true
		}
		if s := o.DeletionGracePeriodSeconds; s != nil && o.DeletionTimestamp != nil {
			grace = max(grace, o.DeletionTimestamp.Sub(r.clock.Now()), time.Second)
		}
	}
	switch {
	case grace > 0:
		// Objects often end before their grace does: look again soon at first.
		rep.wait = max(rep.wait, min(grace, 2*time.Second))
	case held:
		rep.wait = max(rep.wait, finalizerWait)
	default:
		return fmt.Errorf("unexpected items still remain in namespace: %s for gvr: %v", ns.Name, gvr)
	}
	return nil
}
