// Package job runs pods to completion.
//
// # Counting exactly once
//
// A job's pods carry the finalizer batch.kubernetes.io/job-tracking, so that none
// goes uncounted. Pods that ended are first named in the job's status
// (uncountedTerminatedPods), then lose the finalizer, and only then move from the
// names into the counters, in one write (KEP-2307). A controller that is stopped
// anywhere between these steps goes on where it was. Before each pass, the caches
// must have seen all that earlier passes wrote (package pending).
package job

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	batchlisters "k8s.io/client-go/listers/batch/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"

	"skiff/server/controller"
	"skiff/server/controller/pending"
	"skiff/server/controller/pods"
	"skiff/server/controller/refs"
)

var gvk = batchv1.SchemeGroupVersion.WithKind("Job")

// strayKey prefixes the key of a pod that has the finalizer and no controller.
const strayKey = "pod!"

// New returns the controller of jobs.
func New(client kubernetes.Interface, f informers.SharedInformerFactory, events record.EventRecorder, clk clock.PassiveClock) (controller.Controller, error) {
	jobs, podInformer := f.Batch().V1().Jobs(), f.Core().V1().Pods().Informer()
	if err := pods.Index(podInformer); err != nil {
		return controller.Controller{}, err
	}
	tracker := pending.New(podInformer.GetIndexer())
	r := &reconciler{
		client: client, control: pods.Control{Client: client, Events: events, Pending: tracker}, clock: clk,
		jobs: jobs.Lister(), pods: podInformer.GetIndexer(), failures: map[string]failures{}, released: map[string]map[types.UID]bool{},
		pending: tracker, pendingJobs: pending.New(jobs.Informer().GetIndexer()),
	}
	orphan := func(p *corev1.Pod, enqueue func(string)) {
		if tracked(p) {
			enqueue(strayKey + controller.Key(p))
		}
		refs.Matching(jobs.Informer().GetIndexer(), p, func(j *batchv1.Job) *metav1.LabelSelector { return j.Spec.Selector }, enqueue)
	}
	return controller.Controller{
		Name: "job", Reconciler: r, Workers: 5,
		Sources: []controller.Source{controller.For(jobs.Informer()), refs.Wake(podInformer, gvk, orphan)},
	}, nil
}

type reconciler struct {
	client               kubernetes.Interface
	control              pods.Control
	clock                clock.PassiveClock
	jobs                 batchlisters.JobLister
	pods                 cache.Indexer
	pending, pendingJobs *pending.Tracker

	mu       sync.Mutex
	failures map[string]failures
	// released are, by job, the pods whose finalizer was taken off; the cache may
	// still show it.
	released map[string]map[types.UID]bool
}

func tracked(p *corev1.Pod) bool {
	return slices.Contains(p.Finalizers, batchv1.JobTrackingFinalizer)
}

func finished(j *batchv1.Job) bool {
	return slices.ContainsFunc(j.Status.Conditions, func(c batchv1.JobCondition) bool {
		return (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue
	})
}

// Reconcile implements controller.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, key string) (controller.Result, error) {
	if pod, ok := strings.CutPrefix(key, strayKey); ok {
		return controller.Result{}, r.freeStray(ctx, pod)
	}
	ns, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return controller.Result{}, err
	}
	job, err := r.jobs.Jobs(ns).Get(name)
	if apierrors.IsNotFound(err) {
		r.forget(key)
		return controller.Result{}, r.freeOrphans(ctx, ns, name)
	}
	if err != nil {
		return controller.Result{}, err
	}
	if m := job.Spec.ManagedBy; m != nil && *m != batchv1.JobControllerName {
		return controller.Result{}, nil
	}
	if finished(job) {
		r.forget(key)
		return controller.Result{}, r.freeFinished(ctx, job)
	}
	if !r.pending.Synced(key) || !r.pendingJobs.Synced(key) {
		return controller.Result{RequeueAfter: pending.Recheck}, nil
	}
	own, err := r.own(ctx, job)
	if err != nil {
		return controller.Result{}, err
	}
	if _, going := pending.Split(r.pending, key, own); len(going) > 0 {
		return controller.Result{RequeueAfter: pending.Recheck}, nil
	}
	p := &pass{reconciler: r, key: key, job: job.DeepCopy(), pods: own, now: r.clock.Now()}
	if err = p.run(ctx); apierrors.IsNotFound(err) {
		return controller.Result{}, nil // deleted meanwhile; that event frees the pods
	}
	return controller.Result{RequeueAfter: p.again}, err
}

func (r *reconciler) forget(key string) {
	r.pending.Forget(key)
	r.pendingJobs.Forget(key)
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.failures, key)
	delete(r.released, key)
}

// holding returns the pods that have the finalizer, but for those where the cache
// is behind in that; what the cache has seen is forgotten.
func (r *reconciler) holding(key string, own []*corev1.Pod) map[types.UID]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	out, behind := map[types.UID]bool{}, map[types.UID]bool{}
	for _, p := range own {
		switch {
		case !tracked(p):
		case r.released[key][p.UID]:
			behind[p.UID] = true
		default:
			out[p.UID] = true
		}
	}
	if r.released[key] = behind; len(behind) == 0 {
		delete(r.released, key)
	}
	return out
}

func (r *reconciler) markReleased(key string, uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.released[key] == nil {
		r.released[key] = map[types.UID]bool{}
	}
	r.released[key][uid] = true
}

// own returns the job's pods after adoption, which adds the finalizer.
func (r *reconciler) own(ctx context.Context, job *batchv1.Job) ([]*corev1.Pod, error) {
	selector, err := metav1.LabelSelectorAsSelector(job.Spec.Selector)
	if err != nil {
		return nil, fmt.Errorf("couldn't convert Job selector: %w", err)
	}
	all, err := pods.ControlledOrOrphaned(r.pods, job.UID, job.Namespace)
	if err != nil {
		return nil, err
	}
	claimer := &refs.Claimer{
		Owner: job, Kind: gvk, Selector: selector, Finalizers: []string{batchv1.JobTrackingFinalizer},
		Live: func(ctx context.Context) (metav1.Object, error) {
			return r.client.BatchV1().Jobs(job.Namespace).Get(ctx, job.Name, metav1.GetOptions{})
		},
		Patch: func(ctx context.Context, name string, patch []byte) error {
			return r.control.Patch(ctx, job.Namespace, name, patch)
		},
	}
	return refs.Claim(ctx, claimer, all, nil)
}

// freeStray takes the finalizer off a pod that no controller counts.
func (r *reconciler) freeStray(ctx context.Context, key string) error {
	obj, ok, err := r.pods.GetByKey(key)
	if err != nil || !ok {
		return err
	}
	p := obj.(*corev1.Pod)
	if metav1.GetControllerOfNoCopy(p) != nil || !tracked(p) {
		return nil
	}
	return r.untrack(ctx, p)
}

// freeOrphans takes the finalizer off the pods of a job that is gone.
func (r *reconciler) freeOrphans(ctx context.Context, ns, name string) error {
	objs, err := r.pods.ByIndex(cache.NamespaceIndex, ns)
	if err != nil {
		return err
	}
	var lost []*corev1.Pod
	for _, o := range objs {
		p := o.(*corev1.Pod)
		if key, ok := refs.Controller(p, gvk); ok && key == ns+"/"+name && tracked(p) {
			lost = append(lost, p)
		}
	}
	return r.untrackAll(ctx, lost)
}

// freeFinished takes the finalizer off pods that were made, or came back into
// sight, too late to be counted.
func (r *reconciler) freeFinished(ctx context.Context, job *batchv1.Job) error {
	own, err := pods.Controlled(r.pods, job.UID)
	if err != nil {
		return err
	}
	return r.untrackAll(ctx, pods.Filter(own, func(p *corev1.Pod) bool {
		return tracked(p) && (pods.IsTerminal(p) || p.DeletionTimestamp != nil)
	}))
}

func (r *reconciler) untrackAll(ctx context.Context, list []*corev1.Pod) error {
	return pods.Each(list, func(p *corev1.Pod) error { return r.untrack(ctx, p) })
}

// untrack takes the finalizer off a pod.
func (r *reconciler) untrack(ctx context.Context, p *corev1.Pod) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": p.UID, "$deleteFromPrimitiveList/finalizers": []string{batchv1.JobTrackingFinalizer},
	}})
	if err != nil {
		return err
	}
	err = r.control.Patch(ctx, p.Namespace, p.Name, patch)
	if apierrors.IsNotFound(err) || apierrors.IsInvalid(err) || apierrors.IsConflict(err) {
		return nil // gone, or another pod of this name
	}
	return err
}

// wait makes the next pass happen after d, unless an earlier one is set.
func (p *pass) wait(d time.Duration) {
	if d > 0 && (p.again == 0 || d < p.again) {
		p.again = d
	}
}
