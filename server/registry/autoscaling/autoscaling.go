// Package autoscaling describes the resources of the API group autoscaling:
// horizontal pod autoscalers, in the versions v1 and v2. Scale, the group's other
// kind, is a subresource of others.
//
// Version v2 is stored. What v1 has no fields for, it carries in annotations
// (conversion.go), so that nothing is lost on the way through it.
package autoscaling

import (
	"context"
	"fmt"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"

	"skiff/server/registry"
	"skiff/server/registry/table"
)

// Group is the API group's name.
const Group = autoscalingv2.GroupName

// defaultCPUUtilization is what autoscalers without any metric aim at.
const defaultCPUUtilization = 80

type hpa = autoscalingv2.HorizontalPodAutoscaler

// HorizontalPodAutoscalers returns the resource horizontalpodautoscalers.
func HorizontalPodAutoscalers() *registry.Resource {
	return &registry.Resource{
		Group: Group, Plural: "horizontalpodautoscalers", Singular: "horizontalpodautoscaler", Kind: "HorizontalPodAutoscaler", Namespaced: true,
		ShortNames: []string{"hpa"}, Categories: []string{"all"},
		Versions: []registry.Version{
			{Name: "v2", New: registry.New[hpa](), NewList: registry.New[autoscalingv2.HorizontalPodAutoscalerList]()},
			{
				Name: "v1", New: registry.New[autoscalingv1.HorizontalPodAutoscaler](), NewList: registry.New[autoscalingv1.HorizontalPodAutoscalerList](),
				ToHub: fromV1, FromHub: toV1,
			},
		},
		Rules: registry.Rules{
			Default: registry.Default(defaultHPA),
			PrepareCreate: registry.Prepare(func(_ context.Context, h *hpa) {
				h.Status = autoscalingv2.HorizontalPodAutoscalerStatus{}
			}),
			PrepareUpdate:            registry.PrepareUpdate(func(_ context.Context, h, old *hpa) { h.Status = old.Status }),
			Generation:               true,
			Validate:                 registry.Validate(validateHPA),
			ValidateUpdate:           registry.ValidateUpdate(validateHPAUpdate),
			AllowUnconditionalUpdate: true,
		},
		Columns: []table.Column{
			table.Name(),
			table.String("Reference", table.Doc(autoscalingv2.HorizontalPodAutoscalerSpec{}, "scaleTargetRef")),
			table.String("Targets", table.Doc(autoscalingv2.HorizontalPodAutoscalerSpec{}, "metrics")),
			table.String("MinPods", table.Doc(autoscalingv2.HorizontalPodAutoscalerSpec{}, "minReplicas")),
			table.String("MaxPods", table.Doc(autoscalingv2.HorizontalPodAutoscalerSpec{}, "maxReplicas")),
			table.String("Replicas", table.Doc(autoscalingv2.HorizontalPodAutoscalerStatus{}, "currentReplicas")),
			table.Age(),
		},
		Cells: registry.Cells(func(h *hpa) []any {
			least := "<unset>"
			if h.Spec.MinReplicas != nil {
				least = fmt.Sprint(*h.Spec.MinReplicas)
			}
			return []any{
				h.Name, h.Spec.ScaleTargetRef.Kind + "/" + h.Spec.ScaleTargetRef.Name, targets(h.Spec.Metrics, h.Status.CurrentMetrics),
				least, int64(h.Spec.MaxReplicas), int64(h.Status.CurrentReplicas), table.Since(h.CreationTimestamp),
			}
		}),
		Subresources: []registry.Subresource{{Name: "status", Update: &registry.Rules{
			Default:                  registry.Default(defaultHPA),
			PrepareUpdate:            registry.PrepareUpdate(func(_ context.Context, h, old *hpa) { h.Spec = old.Spec }),
			ValidateUpdate:           registry.ValidateUpdate(validateHPAStatus),
			AllowUnconditionalUpdate: true,
		}}},
	}
}

func defaultHPA(h *hpa) {
	if h.Spec.MinReplicas == nil {
		one := int32(1)
		h.Spec.MinReplicas = &one
	}
	if len(h.Spec.Metrics) == 0 {
		h.Spec.Metrics = []autoscalingv2.MetricSpec{cpuMetric(defaultCPUUtilization)}
	}
	if b := h.Spec.Behavior; b != nil {
		b.ScaleUp = withDefaults(b.ScaleUp, scaleUpRules())
		b.ScaleDown = withDefaults(b.ScaleDown, scaleDownRules())
	}
}

func cpuMetric(utilization int32) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{
		Type: autoscalingv2.ResourceMetricSourceType,
		Resource: &autoscalingv2.ResourceMetricSource{
			Name:   corev1.ResourceCPU,
			Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &utilization},
		},
	}
}

// scaleUpRules are those of before behavior could be set (KEP-853): four pods or
// as many as there are, whichever is more, every 15 seconds.
func scaleUpRules() *autoscalingv2.HPAScalingRules {
	window, most := int32(0), autoscalingv2.MaxChangePolicySelect
	return &autoscalingv2.HPAScalingRules{
		StabilizationWindowSeconds: &window,
		SelectPolicy:               &most,
		Policies: []autoscalingv2.HPAScalingPolicy{
			{Type: autoscalingv2.PodsScalingPolicy, Value: 4, PeriodSeconds: 15},
			{Type: autoscalingv2.PercentScalingPolicy, Value: 100, PeriodSeconds: 15},
		},
	}
}

// scaleDownRules leave the window to the controller's configuration.
func scaleDownRules() *autoscalingv2.HPAScalingRules {
	most := autoscalingv2.MaxChangePolicySelect
	return &autoscalingv2.HPAScalingRules{
		SelectPolicy: &most,
		Policies:     []autoscalingv2.HPAScalingPolicy{{Type: autoscalingv2.PercentScalingPolicy, Value: 100, PeriodSeconds: 15}},
	}
}

// withDefaults returns defaults overridden by what rules sets.
func withDefaults(rules, defaults *autoscalingv2.HPAScalingRules) *autoscalingv2.HPAScalingRules {
	if rules == nil {
		return defaults
	}
	if rules.SelectPolicy != nil {
		defaults.SelectPolicy = rules.SelectPolicy
	}
	if rules.StabilizationWindowSeconds != nil {
		defaults.StabilizationWindowSeconds = rules.StabilizationWindowSeconds
	}
	if rules.Policies != nil {
		defaults.Policies = rules.Policies
	}
	defaults.Tolerance = rules.Tolerance
	return defaults
}
