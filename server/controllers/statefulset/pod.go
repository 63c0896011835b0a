package statefulset

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"skiff/server/controller/history"
	"skiff/server/controller/pods"
)

// split divides a pod's name into that of its set and its ordinal, which is -1 if
// the name has none.
func split(name string) (string, int) {
	i := strings.LastIndexByte(name, '-')
	if i < 0 {
		return "", -1
	}
	n, err := strconv.ParseUint(name[i+1:], 10, 31)
	if err != nil {
		return "", -1
	}
	return name[:i], int(n)
}

func ordinal(pod *corev1.Pod) int {
	_, n := split(pod.Name)
	return n
}

// newPod returns the pod for an ordinal, of the current revision below the
// partition, or of the update's above it.
func (p *plan) newPod(n int) (*corev1.Pod, error) {
	rev := p.update
	if p.set.Spec.UpdateStrategy.Type == appsv1.RollingUpdateStatefulSetStrategyType {
		below := p.start() + int(p.set.Status.CurrentReplicas)
		if u := p.set.Spec.UpdateStrategy.RollingUpdate; u != nil {
			below = p.start()
			if u.Partition != nil {
				below += int(*u.Partition)
			}
		}
		if n < below {
			rev = p.current
		}
	}
	template, err := history.Template(rev)
	if err != nil {
		return nil, err
	}
	pod := pods.FromTemplate(template, p.set, metav1.NewControllerRef(p.set, gvk))
	pod.Name = fmt.Sprintf("%s-%d", p.set.Name, n)
	p.identify(pod)
	pod.Labels[appsv1.StatefulSetRevisionLabel] = rev.Name
	pod.Spec.Hostname, pod.Spec.Subdomain = pod.Name, p.set.Spec.ServiceName
	p.mountClaims(pod)
	return pod, nil
}

func (p *plan) identify(pod *corev1.Pod) {
	if pod.Labels == nil {
		pod.Labels = map[string]string{}
	}
	pod.Labels[appsv1.StatefulSetPodNameLabel] = pod.Name
	pod.Labels[appsv1.PodIndexLabel] = strconv.Itoa(ordinal(pod))
}

// mountClaims puts the pod's own claims in place of the template's volumes of
// the same names.
func (p *plan) mountClaims(pod *corev1.Pod) {
	var volumes []corev1.Volume
	own := map[string]bool{}
	for _, t := range p.set.Spec.VolumeClaimTemplates {
		own[t.Name] = true
		volumes = append(volumes, corev1.Volume{Name: t.Name, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: p.claimName(t.Name, pod)},
		}})
	}
	for _, v := range pod.Spec.Volumes {
		if !own[v.Name] {
			volumes = append(volumes, v)
		}
	}
	pod.Spec.Volumes = volumes
}

// repair restores what a running pod must have of its identity and claims.
func (p *plan) repair(ctx context.Context, pod *corev1.Pod) error {
	if pod.Labels[appsv1.StatefulSetPodNameLabel] != pod.Name {
		fixed := pod.DeepCopy()
		p.identify(fixed)
		out, err := p.client.CoreV1().Pods(pod.Namespace).Update(ctx, fixed, metav1.UpdateOptions{})
		if err == nil {
			p.pending.Wrote(p.key, out.ResourceVersion)
		}
		p.event("Update", pod, err)
		if err != nil {
			return err
		}
	}
	return p.fixClaims(ctx, pod)
}

// status counts the pods as they were when this pass began, but for those that it
// deleted, which are of the current revision no more.
func (p *plan) status() appsv1.StatefulSetStatus {
	s := appsv1.StatefulSetStatus{
		ObservedGeneration: p.set.Generation, CurrentRevision: p.current.Name, UpdateRevision: p.update.Name,
		CollisionCount: &p.collisions, Conditions: p.set.Status.Conditions,
	}
	for _, list := range [][]*corev1.Pod{p.replicas, p.condemned} {
		for _, pod := range list {
			p.count(&s, pod)
		}
	}
	s.CurrentReplicas = max(s.CurrentReplicas-p.deletedCurrent, 0)
	n := *p.set.Spec.Replicas
	if s.UpdatedReplicas == n && s.ReadyReplicas == n && s.Replicas == n {
		s.CurrentReplicas, s.CurrentRevision = s.UpdatedReplicas, s.UpdateRevision
	}
	return s
}

func (p *plan) count(s *appsv1.StatefulSetStatus, pod *corev1.Pod) {
	if !created(pod) {
		return
	}
	s.Replicas++
	if runningReady(pod) {
		s.ReadyReplicas++
		if p.available(pod) {
			s.AvailableReplicas++
		}
	}
	if terminating(pod) {
		return
	}
	if revisionOf(pod) == p.current.Name {
		s.CurrentReplicas++
	}
	if revisionOf(pod) == p.update.Name {
		s.UpdatedReplicas++
	}
}
