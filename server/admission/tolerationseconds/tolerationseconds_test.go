package tolerationseconds

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"skiff/server/admission"
	at "skiff/server/admission/admissiontest"
)

func TestAdmit(t *testing.T) {
	for name, tc := range map[string]struct {
		have  []corev1.Toleration
		added []string
	}{
		"none":             {nil, []string{"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"}},
		"one":              {[]corev1.Toleration{{Key: "node.kubernetes.io/not-ready", Effect: corev1.TaintEffectNoExecute}}, []string{"node.kubernetes.io/unreachable"}},
		"all effects":      {[]corev1.Toleration{{Key: "node.kubernetes.io/unreachable"}}, []string{"node.kubernetes.io/not-ready"}},
		"everything":       {[]corev1.Toleration{{Operator: corev1.TolerationOpExists}}, nil},
		"of another taint": {[]corev1.Toleration{{Key: "x"}}, []string{"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"}},
		"another effect":   {[]corev1.Toleration{{Key: "node.kubernetes.io/not-ready", Effect: corev1.TaintEffectNoSchedule}}, []string{"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"}},
	} {
		pod := &corev1.Pod{Spec: corev1.PodSpec{Tolerations: tc.have}}
		at.Check(t, name, Plugin{}.Admit(t.Context(), at.Write(admission.Create, "pods", pod, nil, at.Bob())), "")
		added := pod.Spec.Tolerations[len(tc.have):]
		if len(added) != len(tc.added) {
			t.Errorf("%s: added %v", name, added)
			continue
		}
		for i, a := range added {
			if a.Key != tc.added[i] || a.Operator != corev1.TolerationOpExists || a.Effect != corev1.TaintEffectNoExecute || *a.TolerationSeconds != 300 {
				t.Errorf("%s: added %+v", name, a)
			}
		}
	}
	soon := Plugin{NotReady: ptr.To[int64](7), Unreachable: ptr.To[int64](0)}
	short := &corev1.Pod{}
	at.Check(t, "other times", soon.Admit(t.Context(), at.Write(admission.Create, "pods", short, nil, at.Bob())), "")
	if s := short.Spec.Tolerations; len(s) != 2 || *s[0].TolerationSeconds != 7 || *s[1].TolerationSeconds != 0 {
		t.Errorf("other times: added %+v", s)
	}
	pod := &corev1.Pod{}
	at.Check(t, "status", Plugin{}.Admit(t.Context(), at.Write(admission.Update, "pods/status", pod, pod, at.Bob())), "")
	if len(pod.Spec.Tolerations) > 0 {
		t.Error("a status update gets tolerations")
	}
}
