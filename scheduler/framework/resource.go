package framework

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Resource is an amount of what pods take from a node: thousandths of cores,
// bytes, and counts.
type Resource struct {
	MilliCPU, Memory, EphemeralStorage int64
	// Pods is the number of pods that a node allows.
	Pods int64
	// Scalar has the extended resources and huge pages; nil if there are none.
	Scalar map[corev1.ResourceName]int64
}

// NewResource returns a ResourceList as a Resource.
func NewResource(list corev1.ResourceList) Resource {
	var r Resource
	for name, q := range list {
		switch name {
		case corev1.ResourceCPU:
			r.MilliCPU = q.MilliValue()
		case corev1.ResourceMemory:
			r.Memory = q.Value()
		case corev1.ResourceEphemeralStorage:
			r.EphemeralStorage = q.Value()
		case corev1.ResourcePods:
			r.Pods = q.Value()
		default:
			if r.Scalar == nil {
				r.Scalar = map[corev1.ResourceName]int64{}
			}
			r.Scalar[name] = q.Value()
		}
	}
	return r
}

// add adds o, sign times, in place.
func (r *Resource) add(o *Resource, sign int64) {
	r.MilliCPU += sign * o.MilliCPU
	r.Memory += sign * o.Memory
	r.EphemeralStorage += sign * o.EphemeralStorage
	for name, v := range o.Scalar {
		if r.Scalar == nil {
			r.Scalar = map[corev1.ResourceName]int64{}
		}
		r.Scalar[name] += sign * v
	}
}

func quantity(v int64) resource.Quantity { return *resource.NewQuantity(v, resource.BinarySI) }

func milliQuantity(v int64) resource.Quantity {
	return *resource.NewMilliQuantity(v, resource.DecimalSI)
}
