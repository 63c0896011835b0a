package autoscaling

import (
	"encoding/json"
	"fmt"
	"maps"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"skiff/server/registry"
	"skiff/server/registry/untagged"
)

// The annotations in which a v1 object carries what only v2 has fields for.
const (
	metricsAnnotation       = "autoscaling.alpha.kubernetes.io/metrics"
	currentAnnotation       = "autoscaling.alpha.kubernetes.io/current-metrics"
	conditionsAnnotation    = "autoscaling.alpha.kubernetes.io/conditions"
	behaviorAnnotation      = "autoscaling.alpha.kubernetes.io/behavior"
	scaleDownToleranceAlpha = "autoscaling.alpha.kubernetes.io/scale-down-tolerance"
	scaleUpToleranceAlpha   = "autoscaling.alpha.kubernetes.io/scale-up-tolerance"
)

// dropCarried returns annotations without those above.
func dropCarried(annotations map[string]string) map[string]string {
	kept := maps.Clone(annotations)
	for _, key := range []string{metricsAnnotation, currentAnnotation, conditionsAnnotation, behaviorAnnotation, scaleDownToleranceAlpha, scaleUpToleranceAlpha} {
		delete(kept, key)
	}
	return kept
}

// isCPU tells whether a metric is the one that v1 has a field for.
func isCPU(m *autoscalingv2.MetricSpec) bool {
	return m.Type == autoscalingv2.ResourceMetricSourceType && m.Resource != nil &&
		m.Resource.Name == corev1.ResourceCPU && m.Resource.Target.AverageUtilization != nil
}

// toV1 converts from v2.
func toV1(o registry.Object) (runtime.Object, error) {
	in, ok := o.(*hpa)
	if !ok {
		return nil, fmt.Errorf("convert %T to autoscaling/v1: not a HorizontalPodAutoscaler", o)
	}
	in = in.DeepCopy()
	out := &autoscalingv1.HorizontalPodAutoscaler{
		ObjectMeta: in.ObjectMeta,
		Spec: autoscalingv1.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv1.CrossVersionObjectReference(in.Spec.ScaleTargetRef),
			MinReplicas:    in.Spec.MinReplicas,
			MaxReplicas:    in.Spec.MaxReplicas,
		},
		Status: autoscalingv1.HorizontalPodAutoscalerStatus{
			ObservedGeneration: in.Status.ObservedGeneration,
			LastScaleTime:      in.Status.LastScaleTime,
			CurrentReplicas:    in.Status.CurrentReplicas,
			DesiredReplicas:    in.Status.DesiredReplicas,
		},
	}
	var others []autoscalingv1.MetricSpec
	for i := range in.Spec.Metrics {
		m := &in.Spec.Metrics[i]
		if !isCPU(m) {
			others = append(others, specToV1(m))
		} else if out.Spec.TargetCPUUtilizationPercentage == nil {
			out.Spec.TargetCPUUtilizationPercentage = m.Resource.Target.AverageUtilization
		}
	}
	for i := range in.Status.CurrentMetrics {
		if r := in.Status.CurrentMetrics[i].Resource; r != nil && r.Name == corev1.ResourceCPU && r.Current.AverageUtilization != nil {
			out.Status.CurrentCPUUtilizationPercentage = r.Current.AverageUtilization
		}
	}
	return out, carry(in, out, others)
}

// carry sets the annotations of out.
func carry(in *hpa, out *autoscalingv1.HorizontalPodAutoscaler, metrics []autoscalingv1.MetricSpec) error {
	out.Annotations = dropCarried(out.Annotations)
	set := func(key string, v any) error {
		b, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("encode annotation %s: %w", key, err)
		}
		if out.Annotations == nil {
			out.Annotations = map[string]string{}
		}
		out.Annotations[key] = string(b)
		return nil
	}
	if len(metrics) > 0 {
		if err := set(metricsAnnotation, metrics); err != nil {
			return err
		}
	}
	if n := len(in.Status.CurrentMetrics); n > 0 {
		current := make([]autoscalingv1.MetricStatus, n)
		for i := range current {
			current[i] = statusToV1(&in.Status.CurrentMetrics[i])
		}
		if err := set(currentAnnotation, current); err != nil {
			return err
		}
	}
	if in.Spec.Behavior != nil {
		// Upstream stores its internal type, which has no JSON tags.
		if err := set(behaviorAnnotation, untagged.Value(in.Spec.Behavior)); err != nil {
			return err
		}
	}
	if n := len(in.Status.Conditions); n > 0 {
		conditions := make([]autoscalingv1.HorizontalPodAutoscalerCondition, n)
		for i, c := range in.Status.Conditions {
			conditions[i] = autoscalingv1.HorizontalPodAutoscalerCondition{
				Type: autoscalingv1.HorizontalPodAutoscalerConditionType(c.Type), Status: c.Status,
				LastTransitionTime: c.LastTransitionTime, Reason: c.Reason, Message: c.Message,
				ObservedGeneration: c.ObservedGeneration,
			}
		}
		return set(conditionsAnnotation, conditions)
	}
	return nil
}

// fromV1 converts to v2. Annotations that cannot be decoded are dropped.
func fromV1(o runtime.Object) (registry.Object, error) {
	in, ok := o.(*autoscalingv1.HorizontalPodAutoscaler)
	if !ok {
		return nil, fmt.Errorf("convert %T from autoscaling/v1: not a HorizontalPodAutoscaler", o)
	}
	in = in.DeepCopy()
	out := &hpa{
		ObjectMeta: in.ObjectMeta,
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference(in.Spec.ScaleTargetRef),
			MinReplicas:    in.Spec.MinReplicas,
			MaxReplicas:    in.Spec.MaxReplicas,
		},
		Status: autoscalingv2.HorizontalPodAutoscalerStatus{
			ObservedGeneration: in.Status.ObservedGeneration,
			LastScaleTime:      in.Status.LastScaleTime,
			CurrentReplicas:    in.Status.CurrentReplicas,
			DesiredReplicas:    in.Status.DesiredReplicas,
		},
	}
	for _, m := range carried[[]autoscalingv1.MetricSpec](in, metricsAnnotation) {
		out.Spec.Metrics = append(out.Spec.Metrics, specFromV1(&m))
	}
	if n := in.Spec.TargetCPUUtilizationPercentage; n != nil {
		out.Spec.Metrics = append(out.Spec.Metrics, cpuMetric(*n))
	}
	if len(out.Spec.Metrics) == 0 {
		out.Spec.Metrics = []autoscalingv2.MetricSpec{cpuMetric(defaultCPUUtilization)}
	}
	if b := carried[autoscalingv2.HorizontalPodAutoscalerBehavior](in, behaviorAnnotation); b != (autoscalingv2.HorizontalPodAutoscalerBehavior{}) {
		out.Spec.Behavior = &b
	}
	statusFromAnnotations(in, out)
	out.Annotations = dropCarried(out.Annotations)
	return out, nil
}

func statusFromAnnotations(in *autoscalingv1.HorizontalPodAutoscaler, out *hpa) {
	if n := in.Status.CurrentCPUUtilizationPercentage; n != nil {
		out.Status.CurrentMetrics = []autoscalingv2.MetricStatus{{
			Type: autoscalingv2.ResourceMetricSourceType,
			Resource: &autoscalingv2.ResourceMetricStatus{
				Name: corev1.ResourceCPU, Current: autoscalingv2.MetricValueStatus{AverageUtilization: n},
			},
		}}
	}
	if current := carried[[]autoscalingv1.MetricStatus](in, currentAnnotation); current != nil {
		// They say more than the percentage does.
		out.Status.CurrentMetrics = make([]autoscalingv2.MetricStatus, len(current))
		for i := range current {
			out.Status.CurrentMetrics[i] = statusFromV1(&current[i])
		}
	}
	for _, c := range carried[[]autoscalingv1.HorizontalPodAutoscalerCondition](in, conditionsAnnotation) {
		out.Status.Conditions = append(out.Status.Conditions, autoscalingv2.HorizontalPodAutoscalerCondition{
			Type: autoscalingv2.HorizontalPodAutoscalerConditionType(c.Type), Status: c.Status,
			LastTransitionTime: c.LastTransitionTime, Reason: c.Reason, Message: c.Message,
			ObservedGeneration: c.ObservedGeneration,
		})
	}
}

// carried decodes an annotation; the zero value if it is missing or malformed.
func carried[T any](in *autoscalingv1.HorizontalPodAutoscaler, key string) T {
	var v, none T
	if err := json.Unmarshal([]byte(in.Annotations[key]), &v); err != nil {
		return none
	}
	return v
}
