package pod

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"skiff/agent/container"
)

// refusal is why a pod cannot run here.
type refusal struct{ reason, message string }

// admit decides whether the pod may run here. The scheduler has checked the same,
// but pods come here without it, and two schedulers may have decided at once.
func (w *worker) admit() bool {
	w.m.admitting.Lock()
	defer w.m.admitting.Unlock()
	// What runs already was admitted before the agent started.
	if len(w.view.containers)+len(w.view.sandboxes) == 0 {
		node, err := w.m.cfg.GetNode()
		if err != nil {
			w.wake(soon())
			return false
		}
		if r := w.m.refuse(w.pod, node); r != nil {
			w.event(corev1.EventTypeWarning, r.reason, r.message)
			w.end = &ending{phase: corev1.PodFailed, reason: r.reason, message: "Pod was rejected: " + r.message}
			return false
		}
	}
	w.admitted = true
	w.showTo() // the next one counts with this one
	return true
}

// refuse checks the pod against the node and the pods that it has.
func (m *Manager) refuse(pod *corev1.Pod, node *corev1.Node) *refusal {
	if os, ok := pod.Labels[corev1.LabelOSStable]; ok && os != runtime.GOOS {
		return &refusal{"PodOSSelectorNodeLabelDoesNotMatch", "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label"}
	}
	if pod.Spec.OS != nil && string(pod.Spec.OS.Name) != runtime.GOOS {
		return &refusal{"PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS"}
	}
	if err := refuseSysctls(pod, m.cfg.AllowedUnsafeSysctls); err != nil {
		return &refusal{"SysctlForbidden", "forbidden sysctl: " + err.Error()}
	}
	if r := refuseAppArmor(pod); r != nil {
		return r
	}
	others := m.others(pod)
	if r := fits(pod, node, others); r != nil {
		return r
	}
	if pod.Spec.NodeName != "" && pod.Spec.NodeName != node.Name {
		return predicate("NodeName", "node(s) didn't match the requested node name")
	}
	if match, err := nodeaffinity.GetRequiredNodeAffinity(pod).Match(node); err != nil || !match {
		return predicate("NodeAffinity", "node(s) didn't match Pod's node affinity/selector")
	}
	if portsTaken(pod, others) {
		return predicate("NodePorts", "node(s) didn't have free ports for the requested pod ports")
	}
	if !isStatic(pod) && untolerated(pod, node) {
		return predicate("TaintToleration", "node(s) had taints that the pod didn't tolerate")
	}
	return nil
}

func predicate(name, text string) *refusal {
	return &refusal{name, fmt.Sprintf("Predicate %s failed: %s", name, text)}
}

// others are the pods that hold resources of the node now.
func (m *Manager) others(pod *corev1.Pod) []*corev1.Pod {
	var out []*corev1.Pod
	m.each(func(w *worker) {
		if s := w.shown.Load(); s != nil && s.admitted && !s.done && s.pod.UID != pod.UID {
			out = append(out, s.pod)
		}
	})
	return out
}

// fits checks the number of pods and the resources.
func fits(pod *corev1.Pod, node *corev1.Node, others []*corev1.Pod) *refusal {
	if limit := node.Status.Allocatable.Pods().Value(); int64(len(others))+1 > limit {
		return insufficient(corev1.ResourcePods, 1, int64(len(others)), limit)
	}
	wants := podRequests(pod)
	for _, name := range sortedNames(wants) {
		have, known := node.Status.Allocatable[name]
		if !known && isExtended(name) {
			continue // the node has forgotten a device; the pod fails without it
		}
		var used int64
		for _, other := range others {
			used += amount(name, podRequests(other))
		}
		if want := amount(name, wants); want > 0 && want+used > amountOf(name, have) {
			return insufficient(name, want, used, amountOf(name, have))
		}
	}
	return nil
}

func insufficient(name corev1.ResourceName, want, used, capacity int64) *refusal {
	return &refusal{"OutOf" + string(name), fmt.Sprintf("Node didn't have enough resource: %s, requested: %d, used: %d, capacity: %d", name, want, used, capacity)}
}

// portsTaken tells whether another pod has one of the pod's host ports.
func portsTaken(pod *corev1.Pod, others []*corev1.Pod) bool {
	wanted := hostPorts(pod)
	if len(wanted) == 0 {
		return false
	}
	for _, other := range others {
		for _, a := range hostPorts(other) {
			for _, b := range wanted {
				if a.HostPort == b.HostPort && a.Protocol == b.Protocol && (a.HostIP == b.HostIP || anyIP(a.HostIP) || anyIP(b.HostIP)) {
					return true
				}
			}
		}
	}
	return false
}

func anyIP(ip string) bool { return ip == "" || ip == "0.0.0.0" || ip == "::" }

func hostPorts(pod *corev1.Pod) []corev1.ContainerPort {
	var out []corev1.ContainerPort
	add := func(c *corev1.Container) {
		for _, p := range c.Ports {
			if p.HostPort > 0 {
				out = append(out, p)
			}
		}
	}
	for i := range pod.Spec.InitContainers {
		if container.IsSidecar(&pod.Spec.InitContainers[i]) {
			add(&pod.Spec.InitContainers[i])
		}
	}
	for i := range pod.Spec.Containers {
		add(&pod.Spec.Containers[i])
	}
	return out
}

// untolerated looks for a taint that pods are evicted for.
func untolerated(pod *corev1.Pod, node *corev1.Node) bool {
	for i := range node.Spec.Taints {
		t := &node.Spec.Taints[i]
		if t.Effect == corev1.TaintEffectNoExecute && !tolerates(pod.Spec.Tolerations, t) {
			return true
		}
	}
	return false
}

func tolerates(tolerations []corev1.Toleration, taint *corev1.Taint) bool {
	for _, t := range tolerations {
		if t.Effect != "" && t.Effect != taint.Effect || t.Key != "" && t.Key != taint.Key {
			continue
		}
		if t.Operator == corev1.TolerationOpExists || t.Key == "" && t.Operator == "" || t.Value == taint.Value {
			return true
		}
	}
	return false
}

// refuseAppArmor refuses a pod that asks for a profile on a kernel without.
func refuseAppArmor(pod *corev1.Pod) *refusal {
	wants := func(p *corev1.AppArmorProfile) bool {
		return p != nil && p.Type != corev1.AppArmorProfileTypeUnconfined
	}
	asked := pod.Spec.SecurityContext != nil && wants(pod.Spec.SecurityContext.AppArmorProfile)
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			asked = asked || list[i].SecurityContext != nil && wants(list[i].SecurityContext.AppArmorProfile)
		}
	}
	if !asked {
		return nil
	}
	if data, err := os.ReadFile("/sys/module/apparmor/parameters/enabled"); err == nil && strings.HasPrefix(string(data), "Y") {
		return nil
	}
	return &refusal{"AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host"}
}
