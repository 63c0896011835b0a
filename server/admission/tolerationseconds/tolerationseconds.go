// Package tolerationseconds is the admission plugin DefaultTolerationSeconds: pods
// stay for 300 s on a node that is not ready or cannot be reached, unless they say
// otherwise.
package tolerationseconds

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"skiff/server/admission"
)

// Seconds is upstream's default.
const Seconds = 300

// Plugin is the plugin; its zero value is ready.
type Plugin struct {
	// NotReady and Unreachable are how many seconds pods stay on a node that is
	// not ready, or cannot be reached; nil is Seconds.
	NotReady, Unreachable *int64
}

// Name implements admission.Plugin.
func (Plugin) Name() string { return "DefaultTolerationSeconds" }

// Admit implements admission.Mutator. It works on updates as well, as tolerations may
// be added to a pod.
func (p Plugin) Admit(_ context.Context, a *admission.Attributes) error {
	if !a.Is("", "pods", "") || a.Operation != admission.Create && a.Operation != admission.Update {
		return nil
	}
	pod, ok := a.Object.(*corev1.Pod)
	if !ok {
		return nil
	}
	stay(pod, corev1.TaintNodeNotReady, ptr.Deref(p.NotReady, Seconds))
	stay(pod, corev1.TaintNodeUnreachable, ptr.Deref(p.Unreachable, Seconds))
	return nil
}

// stay lets the pod stay for so long on a node with the taint, unless it says
// itself how long.
func stay(pod *corev1.Pod, taint string, seconds int64) {
	if !tolerates(pod.Spec.Tolerations, taint) {
		pod.Spec.Tolerations = append(pod.Spec.Tolerations, corev1.Toleration{
			Key: taint, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds,
		})
	}
}

func tolerates(list []corev1.Toleration, key string) bool {
	for i := range list {
		t := &list[i]
		if (t.Key == key || t.Key == "") && (t.Effect == corev1.TaintEffectNoExecute || t.Effect == "") {
			return true
		}
	}
	return false
}
