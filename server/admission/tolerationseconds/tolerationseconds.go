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

// Seconds is the default.
const Seconds = 300

// Plugin is the plugin; its zero value is ready.
type Plugin struct{}

// Name implements admission.Plugin.
func (Plugin) Name() string { return "DefaultTolerationSeconds" }

// Admit implements admission.Mutator. It works on updates as well, as tolerations may
// be added to a pod.
func (Plugin) Admit(_ context.Context, a *admission.Attributes) error {
	if !a.Is("", "pods", "") || a.Operation != admission.Create && a.Operation != admission.Update {
		return nil
	}
	pod, ok := a.Object.(*corev1.Pod)
	if !ok {
		return nil
	}
	for _, key := range []string{corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable} {
		if !tolerates(pod.Spec.Tolerations, key) {
			pod.Spec.Tolerations = append(pod.Spec.Tolerations, corev1.Toleration{
				Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: ptr.To(int64(Seconds)),
			})
		}
	}
	return nil
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
