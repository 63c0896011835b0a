package limitranger

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	resourcehelper "k8s.io/component-helpers/resource"
)

func checkPod(r *corev1.LimitRange, pod *corev1.Pod) error {
	var errs []error
	for i := range r.Spec.Limits {
		l := &r.Spec.Limits[i]
		switch l.Type {
		case corev1.LimitTypeContainer:
			for _, list := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
				for j := range list {
					errs = append(errs, checkAll(l, list[j].Resources.Requests, list[j].Resources.Limits)...)
				}
			}
		case corev1.LimitTypePod:
			opts := resourcehelper.PodResourcesOptions{ExcludeOverhead: true}
			errs = append(errs, checkAll(l, resourcehelper.PodRequests(pod, opts), resourcehelper.PodLimits(pod, opts))...)
		}
	}
	return utilerrors.NewAggregate(errs)
}

func checkAll(l *corev1.LimitRangeItem, requests, limits corev1.ResourceList) []error {
	var errs []error
	for name, q := range l.Min {
		errs = append(errs, checkMin(l.Type, name, q, requests, limits))
	}
	for name, q := range l.Max {
		errs = append(errs, checkMax(l.Type, name, q, requests, limits))
	}
	for name, q := range l.MaxLimitRequestRatio {
		errs = append(errs, checkRatio(l.Type, name, q, requests, limits))
	}
	return errs
}

// checkClaim looks at requests only: a claim's limits mean nothing.
func checkClaim(r *corev1.LimitRange, c *corev1.PersistentVolumeClaim) error {
	var errs []error
	for i := range r.Spec.Limits {
		l := &r.Spec.Limits[i]
		if l.Type != corev1.LimitTypePersistentVolumeClaim {
			continue
		}
		for name, q := range l.Min {
			errs = append(errs, checkMin(l.Type, name, q, c.Spec.Resources.Requests, nil))
		}
		for name, q := range l.Max {
			errs = append(errs, checkMaxRequest(l.Type, name, q, c.Spec.Resources.Requests))
		}
	}
	return utilerrors.NewAggregate(errs)
}

func checkMin(t corev1.LimitType, name corev1.ResourceName, bound resource.Quantity, requests, limits corev1.ResourceList) error {
	req, hasReq := requests[name]
	lim, hasLim := limits[name]
	switch {
	case !hasReq:
		return fmt.Errorf("minimum %s usage per %s is %s.  No request is specified", name, t, bound.String())
	case req.Cmp(bound) < 0:
		return fmt.Errorf("minimum %s usage per %s is %s, but request is %s", name, t, bound.String(), req.String())
	case hasLim && lim.Cmp(bound) < 0:
		return fmt.Errorf("minimum %s usage per %s is %s, but limit is %s", name, t, bound.String(), lim.String())
	}
	return nil
}

func checkMax(t corev1.LimitType, name corev1.ResourceName, bound resource.Quantity, requests, limits corev1.ResourceList) error {
	req, hasReq := requests[name]
	lim, hasLim := limits[name]
	switch {
	case !hasLim:
		return fmt.Errorf("maximum %s usage per %s is %s.  No limit is specified", name, t, bound.String())
	case lim.Cmp(bound) > 0:
		return fmt.Errorf("maximum %s usage per %s is %s, but limit is %s", name, t, bound.String(), lim.String())
	case hasReq && req.Cmp(bound) > 0:
		return fmt.Errorf("maximum %s usage per %s is %s, but request is %s", name, t, bound.String(), req.String())
	}
	return nil
}

func checkMaxRequest(t corev1.LimitType, name corev1.ResourceName, bound resource.Quantity, requests corev1.ResourceList) error {
	req, ok := requests[name]
	switch {
	case !ok:
		return fmt.Errorf("maximum %s usage per %s is %s.  No request is specified", name, t, bound.String())
	case req.Cmp(bound) > 0:
		return fmt.Errorf("maximum %s usage per %s is %s, but request is %s", name, t, bound.String(), req.String())
	}
	return nil
}

func checkRatio(t corev1.LimitType, name corev1.ResourceName, bound resource.Quantity, requests, limits corev1.ResourceList) error {
	req, hasReq := requests[name]
	lim, hasLim := limits[name]
	if !hasReq || req.IsZero() {
		return fmt.Errorf("%s max limit to request ratio per %s is %s, but no request is specified or request is 0", name, t, bound.String())
	}
	if !hasLim || lim.IsZero() {
		return fmt.Errorf("%s max limit to request ratio per %s is %s, but no limit is specified or limit is 0", name, t, bound.String())
	}
	if ratio := lim.AsApproximateFloat64() / req.AsApproximateFloat64(); ratio > bound.AsApproximateFloat64() {
		return fmt.Errorf("%s max limit to request ratio per %s is %s, but provided ratio is %f", name, t, bound.String(), ratio)
	}
	return nil
}
