package nodetaint

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"skiff/server/admission"
	at "skiff/server/admission/admissiontest"
)

func TestAdmit(t *testing.T) {
	node := &corev1.Node{}
	for range 2 { // the second time it is there already
		at.Check(t, "create", Plugin{}.Admit(t.Context(), at.Write(admission.Create, "nodes", node, nil, at.Node("box"))), "")
		if len(node.Spec.Taints) != 1 || node.Spec.Taints[0] != (corev1.Taint{Key: "node.kubernetes.io/not-ready", Effect: corev1.TaintEffectNoSchedule}) {
			t.Errorf("taints %v", node.Spec.Taints)
		}
	}
	node = &corev1.Node{}
	at.Check(t, "update", Plugin{}.Admit(t.Context(), at.Write(admission.Update, "nodes", node, node, at.Node("box"))), "")
	if len(node.Spec.Taints) > 0 {
		t.Error("an update gets the taint")
	}
}
