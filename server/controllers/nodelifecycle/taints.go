package nodelifecycle

import (
	"context"
	"encoding/json"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// byCondition are the taints that follow from conditions.
var byCondition = map[corev1.NodeConditionType]map[corev1.ConditionStatus]string{
	corev1.NodeReady: {
		corev1.ConditionFalse: corev1.TaintNodeNotReady, corev1.ConditionUnknown: corev1.TaintNodeUnreachable,
	},
	corev1.NodeMemoryPressure:     {corev1.ConditionTrue: corev1.TaintNodeMemoryPressure},
	corev1.NodeDiskPressure:       {corev1.ConditionTrue: corev1.TaintNodeDiskPressure},
	corev1.NodePIDPressure:        {corev1.ConditionTrue: corev1.TaintNodePIDPressure},
	corev1.NodeNetworkUnavailable: {corev1.ConditionTrue: corev1.TaintNodeNetworkUnavailable},
}

// ours tells whether a taint is one that this controller keeps. A node without a
// Ready condition keeps the taint that it was registered with.
func ours(t corev1.Taint, hasReady bool) bool {
	switch t.Key {
	case corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable:
		return hasReady && (t.Effect == corev1.TaintEffectNoSchedule || t.Effect == corev1.TaintEffectNoExecute)
	case corev1.TaintNodeMemoryPressure, corev1.TaintNodeDiskPressure, corev1.TaintNodePIDPressure,
		corev1.TaintNodeNetworkUnavailable, corev1.TaintNodeUnschedulable:
		return t.Effect == corev1.TaintEffectNoSchedule
	}
	return false
}

// wanted returns the taints that the node's conditions ask for.
func wanted(n *corev1.Node) []corev1.Taint {
	var out []corev1.Taint
	for _, c := range n.Status.Conditions {
		key, ok := byCondition[c.Type][c.Status]
		if !ok {
			continue
		}
		out = append(out, corev1.Taint{Key: key, Effect: corev1.TaintEffectNoSchedule})
		if c.Type == corev1.NodeReady {
			out = append(out, corev1.Taint{Key: key, Effect: corev1.TaintEffectNoExecute})
		}
	}
	if n.Spec.Unschedulable {
		out = append(out, corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule})
	}
	return out
}

// withoutEvictions drops the taints by which pods would be evicted, where they stay
// because of the other nodes. Those are counted only for a node that is not ready.
func (r *reconciler) withoutEvictions(n *corev1.Node, want []corev1.Taint) ([]corev1.Taint, error) {
	evicts := func(t corev1.Taint) bool { return t.Effect == corev1.TaintEffectNoExecute }
	if !slices.ContainsFunc(want, evicts) {
		return want, nil
	}
	mode, err := r.evictions(n)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(want, func(t corev1.Taint) bool {
		has := slices.ContainsFunc(n.Spec.Taints, func(h corev1.Taint) bool { return h.MatchTaint(&t) })
		return evicts(t) && (mode == evictNone || mode == evictNoMore && !has)
	}), nil
}

// checkTaints brings the node's taints to what is wanted, keeping all others and
// the times of those that stay.
func (r *reconciler) checkTaints(ctx context.Context, n *corev1.Node) error {
	want, err := r.withoutEvictions(n, wanted(n))
	if err != nil {
		return err
	}
	hasReady := condition(n, corev1.NodeReady) != nil
	same := func(a corev1.Taint) func(corev1.Taint) bool {
		return func(b corev1.Taint) bool { return a.MatchTaint(&b) }
	}
	var taints []corev1.Taint
	changed := false
	for _, t := range n.Spec.Taints {
		if ours(t, hasReady) && !slices.ContainsFunc(want, same(t)) {
			changed = true
			continue
		}
		taints = append(taints, t)
	}
	now := metav1.NewTime(r.clock.Now())
	for _, t := range want {
		if !slices.ContainsFunc(taints, same(t)) {
			t.TimeAdded = &now
			taints = append(taints, t)
			changed = true
		}
	}
	if !changed {
		return nil
	}
	if taints == nil {
		taints = []corev1.Taint{}
	}
	// A merge patch replaces the list; the version guards what others wrote.
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": n.ResourceVersion}, "spec": map[string]any{"taints": taints},
	})
	if err != nil {
		return err
	}
	_, err = r.client.CoreV1().Nodes().Patch(ctx, n.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}
