package agent

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// TestSeeTheNewest keeps the answer to a write that the informer has overtaken
// from hiding the node's address blocks: nothing would bring them again.
func TestSeeTheNewest(t *testing.T) {
	node := func(uid, version string, blocks ...string) *corev1.Node {
		return &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{UID: types.UID(uid), ResourceVersion: version},
			Spec:       corev1.NodeSpec{PodCIDRs: blocks},
		}
	}
	const block = "10.42.0.0/24"
	a := &Agent{}
	for _, step := range []struct {
		what            string
		node            *corev1.Node
		version         string
		blocks, changed int
	}{
		{"registered", node("u", "9"), "9", 0, 0},
		{"got its block", node("u", "11", block), "11", 1, 1},
		{"answer to an earlier write", node("u", "10"), "11", 1, 0},
		{"answer to a later write", node("u", "12", block), "12", 1, 0},
		{"made anew", node("v", "2"), "2", 0, 1},
	} {
		changed := 0
		if a.see(step.node) {
			changed = 1
		}
		now, err := a.Node()
		if err != nil {
			t.Fatal(err)
		}
		if now.ResourceVersion != step.version || len(now.Spec.PodCIDRs) != step.blocks || changed != step.changed {
			t.Errorf("%s: version %s with %d blocks, changed %d; want %+v", step.what, now.ResourceVersion, len(now.Spec.PodCIDRs), changed, step)
		}
	}
}
