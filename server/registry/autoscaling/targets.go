package autoscaling

import (
	"fmt"
	"strings"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
)

// maxTargets bounds the metrics that a table shows of an autoscaler.
const maxTargets = 2

// targets shows "current/target" of the first metrics.
func targets(specs []autoscalingv2.MetricSpec, statuses []autoscalingv2.MetricStatus) string {
	if len(specs) == 0 {
		return "<none>"
	}
	var list []string
	for i := range specs[:min(len(specs), maxTargets)] {
		var status autoscalingv2.MetricStatus
		if i < len(statuses) {
			status = statuses[i]
		}
		list = append(list, target(&specs[i], &status))
	}
	shown := strings.Join(list, ", ")
	if more := len(specs) - maxTargets; more > 0 {
		return fmt.Sprintf("%s + %d more...", shown, more)
	}
	return shown
}

func target(spec *autoscalingv2.MetricSpec, status *autoscalingv2.MetricStatus) string {
	var current *autoscalingv2.MetricValueStatus
	switch {
	case spec.Type == autoscalingv2.ExternalMetricSourceType && spec.External != nil:
		if status.External != nil {
			current = &status.External.Current
		}
		return value(&spec.External.Target, current)
	case spec.Type == autoscalingv2.ObjectMetricSourceType && spec.Object != nil:
		if status.Object != nil {
			current = &status.Object.Current
		}
		return value(&spec.Object.Target, current)
	case spec.Type == autoscalingv2.PodsMetricSourceType && spec.Pods != nil:
		now := "<unknown>"
		if status.Pods != nil {
			now = status.Pods.Current.AverageValue.String()
		}
		return now + "/" + spec.Pods.Target.AverageValue.String()
	case spec.Type == autoscalingv2.ResourceMetricSourceType && spec.Resource != nil:
		if status.Resource != nil {
			current = &status.Resource.Current
		}
		return string(spec.Resource.Name) + ": " + usage(&spec.Resource.Target, current)
	case spec.Type == autoscalingv2.ContainerResourceMetricSourceType && spec.ContainerResource != nil:
		if status.ContainerResource != nil {
			current = &status.ContainerResource.Current
		}
		return string(spec.ContainerResource.Name) + ": " + usage(&spec.ContainerResource.Target, current)
	default:
		return "<unknown type>"
	}
}

// value shows a metric that is a value, or an average over the pods.
func value(t *autoscalingv2.MetricTarget, current *autoscalingv2.MetricValueStatus) string {
	now := "<unknown>"
	if t.AverageValue != nil {
		if current != nil && current.AverageValue != nil {
			now = current.AverageValue.String()
		}
		return fmt.Sprintf("%s/%s (avg)", now, t.AverageValue)
	}
	if current != nil {
		now = current.Value.String()
	}
	return now + "/" + t.Value.String()
}

// usage shows a metric of resource usage: an amount, or part of what is requested.
func usage(t *autoscalingv2.MetricTarget, current *autoscalingv2.MetricValueStatus) string {
	now, wanted := "<unknown>", "<auto>"
	if t.AverageValue != nil {
		if current != nil {
			now = current.AverageValue.String()
		}
		return now + "/" + t.AverageValue.String()
	}
	if current != nil && current.AverageUtilization != nil {
		now = fmt.Sprintf("%d%%", *current.AverageUtilization)
	}
	if t.AverageUtilization != nil {
		wanted = fmt.Sprintf("%d%%", *t.AverageUtilization)
	}
	return now + "/" + wanted
}
