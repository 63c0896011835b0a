package server

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestTakesPods(t *testing.T) {
	node := func(ready corev1.ConditionStatus, taints ...string) *corev1.Node {
		n := &corev1.Node{}
		n.Status.Conditions = []corev1.NodeCondition{
			{Type: corev1.NodeMemoryPressure, Status: corev1.ConditionFalse}, {Type: corev1.NodeReady, Status: ready},
		}
		for _, key := range taints {
			n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: key, Effect: corev1.TaintEffectNoSchedule})
		}
		return n
	}
	for name, tc := range map[string]struct {
		node    *corev1.Node
		tainted bool
		want    bool
	}{
		"new":                             {&corev1.Node{}, true, false},
		"not ready":                       {node(corev1.ConditionFalse), true, false},
		"ready, still tainted":            {node(corev1.ConditionTrue, corev1.TaintNodeNotReady), true, false},
		"ready":                           {node(corev1.ConditionTrue), true, true},
		"ready, with a taint of the user": {node(corev1.ConditionTrue, "gpu"), true, true},
		"nobody takes the taint off":      {node(corev1.ConditionTrue, corev1.TaintNodeNotReady), false, true},
	} {
		if got := takesPods(tc.node, tc.tainted); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

func TestIsDefaultAccount(t *testing.T) {
	account := func(namespace, name string) *corev1.ServiceAccount {
		return &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	}
	if !isDefaultAccount(account("default", "default")) || isDefaultAccount(account("kube-system", "default")) || isDefaultAccount(account("default", "x")) || isDefaultAccount(&corev1.Node{}) {
		t.Error("not the account default of the namespace default, and it alone")
	}
}
