package bootstrap

import (
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	flowdefaults "k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap"
)

// systemCriticalPriority is where the priorities begin that only the system's own
// classes may have.
const systemCriticalPriority = 2 * 1000 * 1000 * 1000

// PriorityClasses returns the two classes of the system.
func PriorityClasses() []schedulingv1.PriorityClass {
	return []schedulingv1.PriorityClass{
		{
			ObjectMeta:  metav1.ObjectMeta{Name: "system-node-critical"},
			Value:       systemCriticalPriority + 1000,
			Description: "Used for system critical pods that must not be moved from their current node.",
		},
		{
			ObjectMeta:  metav1.ObjectMeta{Name: "system-cluster-critical"},
			Value:       systemCriticalPriority,
			Description: "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
		},
	}
}

// The flow control objects are published as values; they are copied, as
// encoding and defaulting write into them.
func priorityLevels() []flowcontrolv1.PriorityLevelConfiguration {
	var out []flowcontrolv1.PriorityLevelConfiguration
	for _, list := range [][]*flowcontrolv1.PriorityLevelConfiguration{flowdefaults.MandatoryPriorityLevelConfigurations, flowdefaults.SuggestedPriorityLevelConfigurations} {
		for _, o := range list {
			out = append(out, *o.DeepCopy())
		}
	}
	return out
}

func flowSchemas() []flowcontrolv1.FlowSchema {
	var out []flowcontrolv1.FlowSchema
	for _, list := range [][]*flowcontrolv1.FlowSchema{flowdefaults.MandatoryFlowSchemas, flowdefaults.SuggestedFlowSchemas} {
		for _, o := range list {
			out = append(out, *o.DeepCopy())
		}
	}
	return out
}
