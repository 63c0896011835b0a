package bench

import (
	"context"
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// BenchmarkPodReady is from the creation of a pod, whose image is there, to the
// client's seeing that it is Ready.
func BenchmarkPodReady(b *testing.B) {
	c := newCluster(b)
	var took sample
	cpu := processorTime(b, c.host.PID())
	for b.Loop() {
		name := fmt.Sprint("pod-", len(took))
		took = append(took, c.startPod(pod(name, obedient)))
		c.deletePod(name, 1)
	}
	took.report(b, "")
	cpu = processorTime(b, c.host.PID()) - cpu
	b.ReportMetric(milliseconds(cpu)/float64(len(took)), "cpu-ms")
}

// BenchmarkPodDelete is from the deletion of a pod, with a second of grace, to
// the client's seeing that it is gone. A container that has to be killed gets two
// seconds to end by itself, as upstream gives it.
func BenchmarkPodDelete(b *testing.B) {
	for name, command := range map[string][]string{"obedient": obedient, "stubborn": stubborn} {
		b.Run(name, func(b *testing.B) {
			c := newCluster(b)
			var took sample
			for b.Loop() {
				name := fmt.Sprint("pod-", len(took))
				c.startPod(pod(name, command))
				took = append(took, c.deletePod(name, 1))
			}
			took.report(b, "")
		})
	}
}

// replicas are those of the Deployment that is measured.
const replicas = 30

// BenchmarkDeployment is from the creation of a Deployment of 30 pods to the
// client's seeing that all of them are Ready, and from the deletion of all of
// them to their being gone.
func BenchmarkDeployment(b *testing.B) {
	c := newCluster(b)
	var ready, gone sample
	for b.Loop() {
		ready = append(ready, c.startDeployment(fmt.Sprint("bench-", len(ready))))
		gone = append(gone, c.deleteDeployment(fmt.Sprint("bench-", len(gone))))
	}
	ready.report(b, "")
	gone.report(b, "gone-")
}

func (c *cluster) startPod(p *corev1.Pod) time.Duration {
	c.b.Helper()
	pods := c.client.CoreV1().Pods(namespace)
	var begin time.Time
	c.await("pod Ready", named(p.Name), pods.Watch, podReady, func(ctx context.Context) error {
		begin = time.Now()
		_, err := pods.Create(ctx, p, metav1.CreateOptions{})
		return err
	})
	return time.Since(begin)
}

func podReady(e watch.Event) bool {
	p, ok := e.Object.(*corev1.Pod)
	if !ok {
		return false
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func (c *cluster) deletePod(name string, grace int64) time.Duration {
	c.b.Helper()
	pods := c.client.CoreV1().Pods(namespace)
	var begin time.Time
	gone := func(e watch.Event) bool { return e.Type == watch.Deleted }
	c.await("pod gone", named(name), pods.Watch, gone, func(ctx context.Context) error {
		begin = time.Now()
		return pods.Delete(ctx, name, metav1.DeleteOptions{GracePeriodSeconds: &grace})
	})
	return time.Since(begin)
}

func (c *cluster) startDeployment(name string) time.Duration {
	c.b.Helper()
	template := pod("", obedient)
	n := int32(replicas)
	want := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &n, Selector: &metav1.LabelSelector{MatchLabels: template.Labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: template.ObjectMeta, Spec: template.Spec},
		},
	}
	deployments := c.client.AppsV1().Deployments(namespace)
	var begin time.Time
	ready := func(e watch.Event) bool {
		d, ok := e.Object.(*appsv1.Deployment)
		return ok && d.Status.ReadyReplicas == replicas
	}
	c.await("all pods Ready", named(name), deployments.Watch, ready, func(ctx context.Context) error {
		begin = time.Now()
		_, err := deployments.Create(ctx, want, metav1.CreateOptions{})
		return err
	})
	return time.Since(begin)
}

// deleteDeployment deletes it in the foreground, so that it goes last.
func (c *cluster) deleteDeployment(name string) time.Duration {
	c.b.Helper()
	deployments := c.client.AppsV1().Deployments(namespace)
	var begin time.Time
	gone := func(e watch.Event) bool { return e.Type == watch.Deleted }
	c.await("all pods gone", named(name), deployments.Watch, gone, func(ctx context.Context) error {
		begin = time.Now()
		foreground := metav1.DeletePropagationForeground
		return deployments.Delete(ctx, name, metav1.DeleteOptions{PropagationPolicy: &foreground})
	})
	return time.Since(begin)
}
