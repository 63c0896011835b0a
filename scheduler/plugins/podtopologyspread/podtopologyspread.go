// Package podtopologyspread is the plugin that spreads alike pods over nodes,
// zones and other domains, as their constraints say. Pods without constraints
// that belong to a service, replica set, replication controller or stateful set
// are spread over nodes and zones as well as it goes.
//
// See KEP-895, KEP-1258 (default constraints), KEP-3022 (minDomains), KEP-3094
// (inclusion policies) and KEP-3243 (matchLabelKeys).
package podtopologyspread

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"

	"skiff/scheduler/framework"
)

const name = "PodTopologySpread"

// defaults are the constraints of pods that have none: upstream's, which prefer
// and never refuse.
var defaults = []corev1.TopologySpreadConstraint{
	{TopologyKey: corev1.LabelHostname, WhenUnsatisfiable: corev1.ScheduleAnyway, MaxSkew: 3},
	{TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: corev1.ScheduleAnyway, MaxSkew: 5},
}

// Plugin is the PodTopologySpread plugin.
type Plugin struct{ owners owners }

// New returns the plugin, which finds out with informers what pods belong to.
func New(informers informers.SharedInformerFactory) Plugin { return Plugin{newOwners(informers)} }

// Name implements framework.Plugin.
func (Plugin) Name() string { return name }

// HasSynced implements framework.InformedPlugin.
func (p Plugin) HasSynced() bool { return p.owners.hasSynced() }

// constraints returns the pod's constraints of one kind, or the defaults; own
// tells which.
func (p Plugin) constraints(pod *framework.PodInfo, action corev1.UnsatisfiableConstraintAction) (list []constraint, own bool, err error) {
	if spec := pod.Pod.Spec.TopologySpreadConstraints; len(spec) > 0 {
		list, err = parse(spec, pod.Pod.Labels, action)
		return list, true, err
	}
	if list, err = parse(defaults, pod.Pod.Labels, action); len(list) == 0 || err != nil {
		return nil, false, err
	}
	selector := p.owners.selector(pod.Pod)
	if selector.Empty() {
		return nil, false, nil
	}
	for i := range list {
		list[i].selector = selector
	}
	return list, false, nil
}
