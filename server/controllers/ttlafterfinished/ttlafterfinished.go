// Package ttlafterfinished deletes jobs that finished longer ago than their
// spec.ttlSecondsAfterFinished.
package ttlafterfinished

import (
	"context"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	batchlisters "k8s.io/client-go/listers/batch/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	"skiff/server/controller"
)

// New returns the controller.
func New(client kubernetes.Interface, f informers.SharedInformerFactory, clk clock.PassiveClock) controller.Controller {
	jobs := f.Batch().V1().Jobs()
	return controller.Controller{
		Name: "ttl-after-finished", Reconciler: &reconciler{client: client, jobs: jobs.Lister(), clock: clk}, Workers: 2,
		Sources: []controller.Source{controller.Watch(jobs.Informer(), func(_, new *batchv1.Job, enqueue func(string)) {
			if new != nil && new.DeletionTimestamp == nil && new.Spec.TTLSecondsAfterFinished != nil && !finished(new).IsZero() {
				enqueue(controller.Key(new))
			}
		})},
	}
}

// finished returns when the job ended, zero if it did not.
func finished(j *batchv1.Job) time.Time {
	for _, c := range j.Status.Conditions {
		if (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue {
			return c.LastTransitionTime.Time
		}
	}
	return time.Time{}
}

type reconciler struct {
	client kubernetes.Interface
	jobs   batchlisters.JobLister
	clock  clock.PassiveClock
}

func (r *reconciler) left(j *batchv1.Job) (time.Duration, bool) {
	at := finished(j)
	if j.DeletionTimestamp != nil || j.Spec.TTLSecondsAfterFinished == nil || at.IsZero() {
		return 0, false
	}
	return at.Add(time.Duration(*j.Spec.TTLSecondsAfterFinished) * time.Second).Sub(r.clock.Now()), true
}

// Reconcile implements controller.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, key string) (controller.Result, error) {
	ns, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return controller.Result{}, err
	}
	job, err := r.jobs.Jobs(ns).Get(name)
	if apierrors.IsNotFound(err) {
		return controller.Result{}, nil
	}
	if err != nil {
		return controller.Result{}, err
	}
	if left, ok := r.left(job); !ok || left > 0 {
		return controller.Result{RequeueAfter: max(left, 0)}, nil
	}
	// The time to live may have been raised a moment ago: ask the API.
	fresh, err := r.client.BatchV1().Jobs(ns).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return controller.Result{}, nil
	}
	if err != nil {
		return controller.Result{}, err
	}
	if left, ok := r.left(fresh); !ok || left > 0 {
		return controller.Result{RequeueAfter: max(left, 0)}, nil
	}
	foreground := metav1.DeletePropagationForeground
	err = r.client.BatchV1().Jobs(ns).Delete(ctx, name, metav1.DeleteOptions{
		PropagationPolicy: &foreground,
		Preconditions:     &metav1.Preconditions{UID: &fresh.UID, ResourceVersion: &fresh.ResourceVersion},
	})
	if apierrors.IsNotFound(err) {
		err = nil
	}
	return controller.Result{}, err
}
