package daemonset

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"

	schedhelpers "k8s.io/component-helpers/scheduling/corev1"

	"skiff/server/controller/pods"
)

// fitness tells what a daemon set wants of a node: run starts a pod there, stay
// lets one that is there go on.
type fitness struct{ run, stay bool }

// fit checks a node's name, affinity and taints. A taint NoExecute that is not
// tolerated ends a pod; NoSchedule only keeps one from starting.
func fit(set *appsv1.DaemonSet, node *corev1.Node) fitness {
	spec := set.Spec.Template.Spec
	if spec.NodeName != "" && spec.NodeName != node.Name {
		return fitness{}
	}
	affinity := nodeaffinity.NewRequiredNodeAffinity(spec.NodeSelector, spec.Affinity)
	if ok, err := affinity.Match(node); err != nil || !ok {
		return fitness{}
	}
	tolerations := append(slices.Clone(spec.Tolerations), added(spec.HostNetwork)...)
	untolerated := func(effects ...corev1.TaintEffect) bool {
		_, found := schedhelpers.FindMatchingUntoleratedTaint(klog.Background(), node.Spec.Taints, tolerations, func(t *corev1.Taint) bool {
			return slices.Contains(effects, t.Effect)
		}, true)
		return found
	}
	if untolerated(corev1.TaintEffectNoExecute) {
		return fitness{}
	}
	return fitness{run: !untolerated(corev1.TaintEffectNoSchedule), stay: true}
}

// added are the tolerations that every daemon pod gets: it stays on a node in
// trouble, to help there.
func added(hostNetwork bool) []corev1.Toleration {
	tolerate := func(key string, effect corev1.TaintEffect) corev1.Toleration {
		return corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists, Effect: effect}
	}
	out := []corev1.Toleration{
		tolerate(corev1.TaintNodeNotReady, corev1.TaintEffectNoExecute),
		tolerate(corev1.TaintNodeUnreachable, corev1.TaintEffectNoExecute),
		tolerate(corev1.TaintNodeDiskPressure, corev1.TaintEffectNoSchedule),
		tolerate(corev1.TaintNodeMemoryPressure, corev1.TaintEffectNoSchedule),
		tolerate(corev1.TaintNodePIDPressure, corev1.TaintEffectNoSchedule),
		tolerate(corev1.TaintNodeUnschedulable, corev1.TaintEffectNoSchedule),
	}
	if hostNetwork {
		out = append(out, tolerate(corev1.TaintNodeNetworkUnavailable, corev1.TaintEffectNoSchedule))
	}
	return out
}

// newPod returns the set's pod for a node.
func (d *day) newPod(node string) *corev1.Pod {
	pod := pods.FromTemplate(&d.set.Spec.Template, d.set, metav1.NewControllerRef(d.set, gvk))
	if pod.Labels == nil {
		pod.Labels = map[string]string{}
	}
	if g := d.set.Annotations[appsv1.DeprecatedTemplateGeneration]; g != "" {
		pod.Labels["pod-template-generation"] = g
	}
	pod.Labels[appsv1.ControllerRevisionHashLabelKey] = d.hash
	for _, t := range added(pod.Spec.HostNetwork) {
		same := func(have corev1.Toleration) bool { return have.MatchToleration(&t) }
		if !slices.ContainsFunc(pod.Spec.Tolerations, same) {
			pod.Spec.Tolerations = append(pod.Spec.Tolerations, t)
		}
	}
	pin(&pod.Spec, node)
	return pod
}

// pin replaces the required node affinity by one on the node's name: the others
// were checked when the node was chosen.
func pin(spec *corev1.PodSpec, node string) {
	if spec.Affinity == nil {
		spec.Affinity = &corev1.Affinity{}
	}
	if spec.Affinity.NodeAffinity == nil {
		spec.Affinity.NodeAffinity = &corev1.NodeAffinity{}
	}
	spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution = &corev1.NodeSelector{
		NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{{
			Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpIn, Values: []string{node},
		}}}},
	}
}

// target returns the node that a pod is on, or pinned to while it is not bound.
func target(pod *corev1.Pod) string {
	if pod.Spec.NodeName != "" {
		return pod.Spec.NodeName
	}
	if pod.Spec.Affinity == nil || pod.Spec.Affinity.NodeAffinity == nil || pod.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return ""
	}
	for _, term := range pod.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		for _, f := range term.MatchFields {
			if f.Key == metav1.ObjectNameField && f.Operator == corev1.NodeSelectorOpIn && len(f.Values) == 1 {
				return f.Values[0]
			}
		}
	}
	return ""
}

// byNode leaves out pods that ended and are being deleted: only a finalizer still
// holds them, and their node may have its next pod.
func byNode(own []*corev1.Pod) map[string][]*corev1.Pod {
	out := map[string][]*corev1.Pod{}
	for _, p := range own {
		if pods.IsTerminal(p) && p.DeletionTimestamp != nil {
			continue
		}
		if n := target(p); n != "" {
			out[n] = append(out[n], p)
		}
	}
	return out
}
