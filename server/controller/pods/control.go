package pods

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"

	"skiff/server/controller/pending"
)

// Control makes and deletes pods on behalf of an owner, records events on it, and
// keeps in Pending, under the owner's key, what the cache has yet to see.
type Control struct {
	Client  kubernetes.Interface
	Events  record.EventRecorder
	Pending *pending.Tracker
}

// FromTemplate returns a pod that owner controls, with a generated name.
func FromTemplate(t *corev1.PodTemplateSpec, owner metav1.Object, ref *metav1.OwnerReference) *corev1.Pod {
	prefix := owner.GetName() + "-"
	// As for a whole name, but that a trailing dash is filled up later.
	if len(validation.IsDNS1123Subdomain(owner.GetName()+"-a")) != 0 {
		prefix = owner.GetName()
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: prefix, Namespace: owner.GetNamespace(),
			Labels: maps.Clone(t.Labels), Annotations: maps.Clone(t.Annotations),
			Finalizers: slices.Clone(t.Finalizers),
		},
		Spec: *t.Spec.DeepCopy(),
	}
	if ref != nil {
		pod.OwnerReferences = []metav1.OwnerReference{*ref}
	}
	return pod
}

// Create creates pod in its owner's namespace. It returns nil and no pod when
// the namespace is going away, where nothing can be created.
func (c Control) Create(ctx context.Context, key string, pod *corev1.Pod, owner runtime.Object) (*corev1.Pod, error) {
	if len(pod.Labels) == 0 {
		return nil, errors.New("unable to create pods, no labels")
	}
	out, err := c.Client.CoreV1().Pods(pod.Namespace).Create(ctx, pod, metav1.CreateOptions{})
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return nil, nil
	}
	if err != nil {
		c.Events.Eventf(owner, corev1.EventTypeWarning, "FailedCreate", "Error creating: %v", err)
		if ambiguous(err) {
			c.catchUp(ctx, key, pod)
		}
		return nil, err
	}
	c.Pending.Wrote(key, out.ResourceVersion)
	c.Events.Eventf(owner, corev1.EventTypeNormal, "SuccessfulCreate", "Created pod: %v", out.Name)
	return out, nil
}

// Delete deletes pod; one that is already gone, or is another one by now, is no
// error and reported as false.
func (c Control) Delete(ctx context.Context, key string, pod *corev1.Pod, owner runtime.Object) (bool, error) {
	err := c.Client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, *metav1.NewPreconditionDeleteOptions(string(pod.UID)))
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return false, nil
	}
	if err != nil {
		c.Events.Eventf(owner, corev1.EventTypeWarning, "FailedDelete", "Error deleting: %v", err)
		if ambiguous(err) && c.isDeleted(ctx, pod) {
			c.Pending.Deleted(key, pod.UID)
		}
		return false, fmt.Errorf("unable to delete pods: %w", err)
	}
	c.Pending.Deleted(key, pod.UID)
	c.Events.Eventf(owner, corev1.EventTypeNormal, "SuccessfulDelete", "Deleted pod: %v", pod.Name)
	return true, nil
}

// ambiguous tells that a failed call may have been carried out all the same.
func ambiguous(err error) bool {
	var status apierrors.APIStatus
	return !errors.As(err, &status) || apierrors.IsInternalError(err) || apierrors.IsTimeout(err) ||
		apierrors.IsServerTimeout(err) || apierrors.IsServiceUnavailable(err) || apierrors.IsUnexpectedServerError(err)
}

// catchUp makes the owner wait until the cache shows the pods like this one that
// there are now, so that one made by a call that seemed to fail isn't made twice.
func (c Control) catchUp(ctx context.Context, key string, pod *corev1.Pod) {
	list, err := c.Client.CoreV1().Pods(pod.Namespace).List(ctx, metav1.ListOptions{LabelSelector: labels.SelectorFromSet(pod.Labels).String()})
	if err != nil {
		return
	}
	for i := range list.Items {
		c.Pending.Wrote(key, list.Items[i].ResourceVersion)
	}
}

func (c Control) isDeleted(ctx context.Context, pod *corev1.Pod) bool {
	now, err := c.Client.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
	return apierrors.IsNotFound(err) || err == nil && (now.UID != pod.UID || now.DeletionTimestamp != nil)
}

// Patch sends a strategic merge patch for a pod.
func (c Control) Patch(ctx context.Context, namespace, name string, patch []byte) error {
	_, err := c.Client.CoreV1().Pods(namespace).Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	return err
}

// SlowStart calls fn for 0 ≤ i < count in concurrent batches that double from
// one call on while all succeed, so that a cause that fails every call
// (quota, admission) costs few of them. It returns the number of successes, and
// the first error of the batch that it stopped at.
func SlowStart(count int, fn func(i int) error) (int, error) {
	return SlowStartFrom(count, 1, fn)
}

// SlowStartFrom is SlowStart with a first batch of this size.
func SlowStartFrom(count, initial int, fn func(i int) error) (int, error) {
	done := 0
	for batch := min(count, initial); batch > 0; batch = min(2*batch, count-done) {
		errs := make([]error, batch)
		parallel(batch, func(i int) { errs[i] = fn(done + i) })
		failed := slices.DeleteFunc(errs, func(e error) bool { return e == nil })
		if done += batch - len(failed); len(failed) > 0 {
			return done, failed[0]
		}
	}
	return done, nil
}

// Each calls fn for all pods concurrently and returns the first error.
func Each(pods []*corev1.Pod, fn func(*corev1.Pod) error) error {
	errs := make([]error, len(pods))
	parallel(len(pods), func(i int) { errs[i] = fn(pods[i]) })
	return cmpOr(errs)
}

func cmpOr(errs []error) error {
	for _, e := range errs {
		if e != nil {
			return e
		}
	}
	return nil
}

// calls bounds how many API calls of one reconcile run at a time.
const calls = 16

func parallel(n int, fn func(i int)) {
	if n == 1 {
		fn(0)
		return
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, calls)
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			fn(i)
		})
	}
	wg.Wait()
}
