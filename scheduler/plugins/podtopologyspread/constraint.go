package podtopologyspread

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"skiff/scheduler/framework"
)

// constraint is a corev1.TopologySpreadConstraint with its selector parsed and
// its defaults filled in.
type constraint struct {
	key        string
	maxSkew    int
	minDomains int
	selector   labels.Selector
	// affinity and taints tell whether only nodes count that the pod's node
	// affinity, and its tolerations, let it on.
	affinity, taints bool
}

// parse returns the constraints of one kind.
func parse(spec []corev1.TopologySpreadConstraint, podLabels map[string]string, action corev1.UnsatisfiableConstraintAction) (list []constraint, err error) {
	for i := range spec {
		c := &spec[i]
		if c.WhenUnsatisfiable != action {
			continue
		}
		selector, err := metav1.LabelSelectorAsSelector(c.LabelSelector)
		if err != nil {
			return nil, fmt.Errorf("parse topology spread constraint for %q: %w", c.TopologyKey, err)
		}
		parsed := constraint{
			key: c.TopologyKey, maxSkew: int(c.MaxSkew), minDomains: 1,
			selector: narrow(selector, c.MatchLabelKeys, podLabels),
			affinity: c.NodeAffinityPolicy == nil || *c.NodeAffinityPolicy == corev1.NodeInclusionPolicyHonor,
			taints:   c.NodeTaintsPolicy != nil && *c.NodeTaintsPolicy == corev1.NodeInclusionPolicyHonor,
		}
		if c.MinDomains != nil {
			parsed.minDomains = int(*c.MinDomains)
		}
		list = append(list, parsed)
	}
	return list, nil
}

// narrow adds to the selector that the pod's own values of the keys are wanted.
// A selector of nothing stays one.
func narrow(selector labels.Selector, keys []string, podLabels map[string]string) labels.Selector {
	own := labels.Set{}
	for _, key := range keys {
		if value, ok := podLabels[key]; ok {
			own[key] = value
		}
	}
	requirements, _ := own.AsSelector().Requirements()
	return selector.Add(requirements...)
}

// counts tells whether the node is one of those that pods are spread over.
func (c *constraint) counts(pod *framework.PodInfo, node *corev1.Node) bool {
	if c.affinity {
		if match, _ := pod.Affinity.Match(node); !match {
			return false
		}
	}
	return !c.taints || !framework.HasUntoleratedTaint(node, pod.Pod)
}

// matching counts the pods of the node that the constraint is about. Pods that
// are ending make room: they are left out.
func (c *constraint) matching(pod *corev1.Pod, node *framework.NodeInfo) (n int) {
	if c.selector.Empty() {
		return 0
	}
	for _, other := range node.Pods {
		if c.about(pod, other.Pod) {
			n++
		}
	}
	return n
}

func (c *constraint) about(pod, other *corev1.Pod) bool {
	return other.Namespace == pod.Namespace && other.DeletionTimestamp == nil && c.selector.Matches(labels.Set(other.Labels))
}

// hasKeys tells whether the node is in a domain of each constraint.
func hasKeys(node *corev1.Node, constraints []constraint) bool {
	for i := range constraints {
		if _, ok := node.Labels[constraints[i].key]; !ok {
			return false
		}
	}
	return true
}
