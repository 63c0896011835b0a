// Package nodeaffinity is the plugin for the pod's node selector and node
// affinity, required and preferred.
package nodeaffinity

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"skiff/scheduler/framework"
	"skiff/scheduler/plugins/normalize"
)

// Plugin is the NodeAffinity plugin.
type Plugin struct{}

const name = "NodeAffinity"

// Name implements framework.Plugin.
func (Plugin) Name() string { return name }

// PreFilter leaves the plugin out for pods without requirements, and narrows the
// nodes if the requirements name some.
func (Plugin) PreFilter(_ context.Context, _ *framework.State, pod *framework.PodInfo, _ *framework.Snapshot) (map[string]bool, *framework.Status) {
	required := requiredTerms(pod.Pod)
	if len(pod.Pod.Spec.NodeSelector) == 0 && required == nil {
		return nil, framework.NewStatus(framework.Skip)
	}
	if required == nil {
		return nil, nil
	}
	return namedNodes(required), nil
}

func requiredTerms(pod *corev1.Pod) *corev1.NodeSelector {
	if a := pod.Spec.Affinity; a != nil && a.NodeAffinity != nil {
		return a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	}
	return nil
}

// namedNodes returns the nodes that the terms name with metadata.name, nil if a
// term names none and so any node may match it.
func namedNodes(s *corev1.NodeSelector) map[string]bool {
	names := map[string]bool{}
	for _, term := range s.NodeSelectorTerms {
		named := false
		for _, field := range term.MatchFields {
			if field.Key != "metadata.name" || field.Operator != corev1.NodeSelectorOpIn {
				continue
			}
			named = true
			for _, value := range field.Values {
				names[value] = true
			}
		}
		if !named {
			return nil
		}
	}
	return names
}

// Filter implements framework.FilterPlugin.
func (Plugin) Filter(_ context.Context, _ *framework.State, pod *framework.PodInfo, node *framework.NodeInfo) *framework.Status {
	match, err := pod.Affinity.Match(node.Node)
	if err != nil {
		return framework.NewStatus(framework.UnschedulableAndUnresolvable, err.Error())
	}
	if !match {
		return framework.NewStatus(framework.UnschedulableAndUnresolvable, "node(s) didn't match Pod's node affinity/selector")
	}
	return nil
}

// PreScore implements framework.PreScorePlugin.
func (Plugin) PreScore(_ context.Context, state *framework.State, pod *framework.PodInfo, _ *framework.Snapshot, _ []*framework.NodeInfo) *framework.Status {
	a := pod.Pod.Spec.Affinity
	if a == nil || a.NodeAffinity == nil || len(a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution) == 0 {
		return framework.NewStatus(framework.Skip)
	}
	terms, err := nodeaffinity.NewPreferredSchedulingTerms(a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution)
	if err != nil {
		return framework.AsStatus(err)
	}
	state.Put(name, terms)
	return nil
}

// Score is the sum of the weights of the preferences that the node matches.
func (Plugin) Score(_ context.Context, state *framework.State, _ *framework.PodInfo, node *framework.NodeInfo) (int64, *framework.Status) {
	return framework.Get[*nodeaffinity.PreferredSchedulingTerms](state, name).Score(node.Node), nil
}

// NormalizeScore implements framework.NormalizeScorePlugin.
func (Plugin) NormalizeScore(_ context.Context, _ *framework.State, _ *framework.PodInfo, scores []int64) *framework.Status {
	normalize.ToMax(scores, false)
	return nil
}

// Helps implements framework.HintPlugin.
func (Plugin) Helps(pod *framework.PodInfo, ev framework.Event) bool {
	if ev.Action&framework.PodUpdated != 0 {
		return true
	}
	node, ok := ev.New.(*corev1.Node)
	if ev.Action&(framework.NodeAdded|framework.NodeLabelsChanged) == 0 || !ok {
		return false
	}
	match, err := pod.Affinity.Match(node)
	return err == nil && match
}
