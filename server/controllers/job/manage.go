package job

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"skiff/server/controller/pods"
)

// burst bounds the pods that one pass creates or deletes.
const burst = 500

// manage brings the number of active pods to what is wanted, and returns it as it
// is then.
func (p *pass) manage(ctx context.Context) (int32, error) {
	active := int32(len(p.active))
	if p.suspended() {
		n, err := p.deletePods(ctx, p.active)
		return active - n, err
	}
	want := *p.job.Spec.Parallelism
	switch {
	case p.job.Spec.Completions != nil:
		want = max(0, min(want, *p.job.Spec.Completions-p.succeeded))
	case p.succeeded > 0:
		want = active // the work queue is empty: no new ones
	}
	if surplus := p.surplus(int(max(0, active-want))); len(surplus) > 0 {
		n, err := p.deletePods(ctx, surplus[:min(len(surplus), burst)])
		return active - n, err
	}
	diff := want - active
	if p.onlyFailed() {
		diff -= p.terminating
	}
	if diff <= 0 {
		return active, nil
	}
	if !p.perIndex() {
		if left := p.failures.left(p.now); left > 0 {
			p.wait(left)
			return active, nil
		}
	}
	n, err := p.create(ctx, int(min(diff, burst)))
	return active + n, err
}

// surplus returns at least n of the active pods for removal: with indexes, those
// out of range and doubles first.
func (p *pass) surplus(n int) []*corev1.Pod {
	var rm, left []*corev1.Pod
	if !p.indexed() {
		left = slices.Clone(p.active)
	} else {
		rm, left = p.doubles()
	}
	pods.SortForDeletion(left, nil, time.Time{})
	for len(rm) < n && len(left) > 0 {
		rm, left = append(rm, left[0]), left[1:]
	}
	return rm
}

// create makes up to n pods and returns how many it made.
func (p *pass) create(ctx context.Context, n int) (int32, error) {
	indexes := make([]int, n)
	if p.indexed() {
		indexes = p.pendingIndexes(n)
		if p.perIndex() {
			indexes = p.dueIndexes(indexes)
		}
	}
	var made atomic.Int32
	_, err := pods.SlowStart(len(indexes), func(i int) error {
		pod, err := p.control.Create(ctx, p.key, p.newPod(indexes[i]), p.job)
		if pod != nil {
			made.Add(1)
		}
		return err
	})
	return made.Load(), err
}

func (p *pass) newPod(ix int) *corev1.Pod {
	pod := pods.FromTemplate(&p.job.Spec.Template, p.job, metav1.NewControllerRef(p.job, gvk))
	if !tracked(pod) {
		pod.Finalizers = append(pod.Finalizers, batchv1.JobTrackingFinalizer)
	}
	if !p.indexed() {
		return pod
	}
	suffix := "-" + strconv.Itoa(ix) + "-"
	const longest = 58 // names.MaxGeneratedNameLength
	prefix := p.job.Name
	if len(prefix)+len(suffix) > longest {
		prefix = prefix[:longest-len(suffix)]
	}
	pod.GenerateName = prefix + suffix
	pod.Spec.Hostname = fmt.Sprintf("%s-%d", p.job.Name, ix)
	if pod.Labels == nil {
		pod.Labels = map[string]string{}
	}
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	pod.Labels[batchv1.JobCompletionIndexAnnotation] = strconv.Itoa(ix)
	pod.Annotations[batchv1.JobCompletionIndexAnnotation] = strconv.Itoa(ix)
	for i := range pod.Spec.InitContainers {
		tellIndex(&pod.Spec.InitContainers[i])
	}
	for i := range pod.Spec.Containers {
		tellIndex(&pod.Spec.Containers[i])
	}
	if p.perIndex() {
		p.carryFailures(pod, ix)
	}
	return pod
}

// tellIndex gives a container its index in the environment.
func tellIndex(c *corev1.Container) {
	const name = "JOB_COMPLETION_INDEX"
	if slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == name }) {
		return
	}
	c.Env = append(c.Env, corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{
		FieldPath: fmt.Sprintf("metadata.labels['%s']", batchv1.JobCompletionIndexAnnotation),
	}}})
}

// deletePods deletes active pods, and returns how many it did.
func (p *pass) deletePods(ctx context.Context, list []*corev1.Pod) (int32, error) {
	var gone, ready atomic.Int32
	err := pods.Each(list, func(pod *corev1.Pod) error {
		_, err := p.control.Delete(ctx, p.key, pod, p.job)
		if err != nil {
			return err
		}
		gone.Add(1)
		if pods.IsReady(pod) {
			ready.Add(1)
		}
		return nil
	})
	p.ready -= ready.Load()
	p.terminating += gone.Load()
	return gone.Load(), err
}
