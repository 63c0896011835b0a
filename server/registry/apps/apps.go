// Package apps describes the resources of the API group apps: deployments,
// replica sets, stateful sets, daemon sets and controller revisions.
//
// Each kind has a file with its resource, defaults and preparation, and one with
// its validation. Pod templates are package podtemplate's.
package apps

import (
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Group is the API group's name.
const Group = "apps"

// scaleKind is what the scale subresources speak.
var scaleKind = schema.GroupVersionKind{Group: "autoscaling", Version: "v1", Kind: "Scale"}

// newScale returns the Scale of an object with meta, as stored now.
func newScale(meta *metav1.ObjectMeta, selector *metav1.LabelSelector, desired *int32, current int32) (*autoscalingv1.Scale, error) {
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return nil, err
	}
	scale := &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{
			Name:              meta.Name,
			Namespace:         meta.Namespace,
			UID:               meta.UID,
			ResourceVersion:   meta.ResourceVersion,
			CreationTimestamp: meta.CreationTimestamp,
		},
		Status: autoscalingv1.ScaleStatus{Replicas: current, Selector: s.String()},
	}
	if desired != nil {
		scale.Spec.Replicas = *desired
	}
	return scale, nil
}

var templatePath = field.NewPath("spec", "template")
