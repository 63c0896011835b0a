package core

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"

	"skiff/server/registry/check"
	"skiff/server/registry/podtemplate"
	"skiff/server/registry/untagged"
)

func validatePodStatus(_ context.Context, p, old *corev1.Pod) field.ErrorList {
	s, before, fld := &p.Status, &old.Status, path("status")
	errs := podtemplate.ValidateAnnotationUpdate(p, old, podtemplate.OptionsForPod(old))
	errs = append(errs, podConditions(s.Conditions, fld.Child("conditions"))...)
	if s.NominatedNodeName != before.NominatedNodeName && s.NominatedNodeName != "" {
		at := fld.Child("nominatedNodeName")
		errs = append(errs, subdomain(s.NominatedNodeName, at)...)
		if old.Spec.NodeName != "" {
			errs = append(errs, field.Forbidden(at, "may not be set on pods that are already bound to a node"))
		}
	}
	if s.ObservedGeneration < 0 {
		errs = append(errs, field.Invalid(fld.Child("observedGeneration"), s.ObservedGeneration, "must be a non-negative integer"))
	}
	errs = append(errs, check.Immutable(s.QOSClass, before.QOSClass, fld.Child("qosClass"))...)
	errs = append(errs, transitions(p, old, fld)...)
	errs = append(errs, claimStatuses(s, &p.Spec, fld)...)
	errs = append(errs, volumeHealth(s, &p.Spec, fld.Child("volumeHealth"))...)
	errs = append(errs, podIPs(s, before, fld.Child("podIPs"))...)
	errs = append(errs, hostIPs(s, before, fld.Child("hostIPs"))...)
	lists := []struct {
		name string
		list []corev1.ContainerStatus
	}{
		{"containerStatuses", s.ContainerStatuses}, {"initContainerStatuses", s.InitContainerStatuses},
		{"ephemeralContainerStatuses", s.EphemeralContainerStatuses},
	}
	for _, l := range lists {
		errs = append(errs, statusUsers(l.list, p.Spec.OS, fld.Child(l.name))...)
	}
	errs = append(errs, allocatedStatus(s.ContainerStatuses, p.Spec.Containers, s, fld.Child("containerStatuses"))...)
	errs = append(errs, allocatedStatus(s.InitContainerStatuses, p.Spec.InitContainers, s, fld.Child("initContainerStatuses"))...)
	for i := range s.EphemeralContainerStatuses {
		if len(s.EphemeralContainerStatuses[i].AllocatedResourcesStatus) > 0 {
			errs = append(errs, field.Forbidden(fld.Child("ephemeralContainerStatuses").Index(i).Child("allocatedResourcesStatus"), "must not be specified in container status"))
		}
	}
	return errs
}

func podConditions(list []corev1.PodCondition, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, c := range list {
		if c.ObservedGeneration < 0 {
			errs = append(errs, field.Invalid(fld.Index(i).Child("observedGeneration"), c.ObservedGeneration, "must be a non-negative integer"))
		}
		switch c.Type {
		case corev1.PodScheduled, corev1.PodReady, corev1.PodInitialized:
		default:
			errs = append(errs, podtemplate.QualifiedName(string(c.Type), fld.Index(i).Child("Type"))...)
		}
	}
	return errs
}

// transitions checks that no container that ended for good runs again.
func transitions(p, old *corev1.Pod, fld *field.Path) field.ErrorList {
	again := func(now, before []corev1.ContainerStatus, may func(name string, exitCode int32) bool, at *field.Path) field.ErrorList {
		var errs field.ErrorList
		for i := range before {
			ended := before[i].State.Terminated
			if ended == nil {
				continue
			}
			for j := range now {
				if now[j].Name != before[i].Name || now[j].State.Terminated != nil {
					continue
				}
				if !may(before[i].Name, ended.ExitCode) {
					errs = append(errs, field.Forbidden(at.Index(i).Child("state"), "may not be transitioned to non-terminated state"))
				}
				break
			}
		}
		return errs
	}
	mayOf := func(list []corev1.Container) func(string, int32) bool {
		return func(name string, exitCode int32) bool {
			i := slices.IndexFunc(list, func(c corev1.Container) bool { return c.Name == name })
			return i >= 0 && podtemplate.Restarts(&list[i], old.Spec.RestartPolicy, exitCode)
		}
	}
	var errs field.ErrorList
	s, before := &p.Status, &old.Status
	if !podtemplate.RestartsAll(&old.Spec) {
		errs = append(errs, again(s.ContainerStatuses, before.ContainerStatuses, mayOf(old.Spec.Containers), fld.Child("containerStatuses"))...)
		errs = append(errs, again(s.InitContainerStatuses, before.InitContainerStatuses, mayOf(old.Spec.InitContainers), fld.Child("initContainerStatuses"))...)
	}
	never := func(string, int32) bool { return false }
	return append(errs, again(s.EphemeralContainerStatuses, before.EphemeralContainerStatuses, never, fld.Child("ephemeralContainerStatuses"))...)
}

func podIPs(s, old *corev1.PodStatus, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	var existing, all []string
	for _, ip := range old.PodIPs {
		existing = append(existing, ip.IP)
	}
	for i, ip := range s.PodIPs {
		all = append(all, ip.IP)
		errs = append(errs, podtemplate.LegacyIP(fld.Index(i), ip.IP, existing)...)
	}
	errs = append(errs, oneOfEachFamily(all, untagged.Value(s.PodIPs), fld)...)
	switch {
	case (s.PodIP != "") != (len(s.PodIPs) > 0):
		errs = append(errs, field.Invalid(fld, untagged.Value(s.PodIPs), "podIP and podIPs must either both be set or both be unset"))
	case len(all) > 0 && s.PodIP != all[0]:
		errs = append(errs, field.Invalid(fld.Index(0).Child("ip"), all[0], "must be equal to `podIP`"))
	}
	return errs
}

func oneOfEachFamily(ips []string, shown any, fld *field.Path) field.ErrorList {
	if len(ips) < 2 {
		return nil
	}
	var errs field.ErrorList
	dual, err := netutils.IsDualStackIPStrings(ips)
	if err != nil {
		errs = append(errs, field.InternalError(fld, fmt.Errorf("failed to check for dual stack with error:%w", err)))
	}
	if !dual || len(ips) > 2 {
		errs = append(errs, field.Invalid(fld, shown, "may specify no more than one IP for each IP family"))
	}
	return errs
}

func hostIPs(s, old *corev1.PodStatus, fld *field.Path) field.ErrorList {
	if len(s.HostIPs) == 0 {
		return nil
	}
	var errs field.ErrorList
	if s.HostIP != s.HostIPs[0].IP {
		errs = append(errs, field.Invalid(fld.Index(0).Child("ip"), s.HostIPs[0].IP, "must be equal to `hostIP`"))
	}
	var existing, all []string
	for _, ip := range old.HostIPs {
		existing = append(existing, ip.IP)
	}
	for i, ip := range s.HostIPs {
		all = append(all, ip.IP)
		errs = append(errs, podtemplate.LegacyIP(fld.Index(i), ip.IP, existing)...)
	}
	return append(errs, oneOfEachFamily(all, untagged.Value(s.HostIPs), fld)...)
}

func statusUsers(list []corev1.ContainerStatus, os *corev1.PodOS, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range list {
		user := list[i].User
		if user == nil || user.Linux == nil {
			continue
		}
		at := fld.Index(i).Child("user", "linux")
		if os != nil && os.Name == corev1.Windows {
			errs = append(errs, field.Forbidden(at, "cannot be set for a windows pod"))
		}
		if os != nil && os.Name != corev1.Linux {
			continue
		}
		// The runtime reports any user that Linux has.
		if id := user.Linux.UID; id < 0 || id > math.MaxUint32 {
			errs = append(errs, field.Invalid(at.Child("uid"), id, fmt.Sprintf("must be between 0 and %d, inclusive", int64(math.MaxUint32))))
		}
		for _, msg := range validation.IsValidGroupID(user.Linux.GID) {
			errs = append(errs, field.Invalid(at.Child("gid"), user.Linux.GID, msg))
		}
		for g, gid := range user.Linux.SupplementalGroups {
			for _, msg := range validation.IsValidGroupID(gid) {
				errs = append(errs, field.Invalid(at.Child("supplementalGroups").Index(g), gid, msg))
			}
		}
	}
	return errs
}

// volumeHealth checks reports about volumes (KEP-1432).
func volumeHealth(s *corev1.PodStatus, spec *corev1.PodSpec, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, h := range s.VolumeHealth {
		at := fld.Index(i)
		if h.Name != "" && !slices.ContainsFunc(spec.Volumes, func(v corev1.Volume) bool { return v.Name == h.Name }) {
			errs = append(errs, field.NotFound(at.Child("name"), h.Name))
		}
		for j, c := range h.HealthConditions {
			if c.Reason == "" {
				continue
			}
			for _, msg := range metavalidation.IsValidConditionReason(c.Reason) {
				errs = append(errs, field.Invalid(at.Child("healthConditions").Index(j).Child("reason"), c.Reason, msg))
			}
		}
	}
	return errs
}

// claimStatuses checks what is reported about claims for devices (KEP-4381).
func claimStatuses(s *corev1.PodStatus, spec *corev1.PodSpec, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := sets.New[string]()
	for i, c := range s.ResourceClaimStatuses {
		at := fld.Child("resourceClaimStatuses").Index(i)
		if !slices.ContainsFunc(spec.ResourceClaims, func(p corev1.PodResourceClaim) bool { return p.Name == c.Name }) {
			errs = append(errs, field.Invalid(at.Child("name"), c.Name, "must match the name of an entry in `spec.resourceClaims`"))
		}
		if seen.Has(c.Name) {
			errs = append(errs, field.Duplicate(at.Child("name"), c.Name))
		}
		seen.Insert(c.Name)
		if c.ResourceClaimName != nil {
			errs = append(errs, subdomain(*c.ResourceClaimName, at.Child("resourceClaimName"))...)
		}
	}
	errs = append(errs, extendedClaim(s.ExtendedResourceClaimStatus, spec, fld.Child("extendedResourceClaimStatus"))...)
	return errs
}

func extendedClaim(s *corev1.PodExtendedResourceClaimStatus, spec *corev1.PodSpec, fld *field.Path) field.ErrorList {
	if s == nil {
		return nil
	}
	var errs field.ErrorList
	if len(s.RequestMappings) == 0 {
		errs = append(errs, field.Required(fld.Child("requestMappings"), "at least one request mapping is required"))
	}
	containers := slices.Concat(spec.InitContainers, spec.Containers)
	seen := sets.New[corev1.ContainerExtendedResourceRequest]()
	for i, m := range s.RequestMappings {
		at := fld.Child("requestMappings").Index(i)
		j := slices.IndexFunc(containers, func(c corev1.Container) bool { return c.Name == m.ContainerName })
		if j < 0 {
			errs = append(errs, field.Invalid(at.Child("containerName"), m.ContainerName, "must match the name of an entry in spec.initContainers.name or spec.containers.name"))
		} else if _, ok := containers[j].Resources.Requests[corev1.ResourceName(m.ResourceName)]; !ok {
			errs = append(errs, field.Invalid(at.Child("resourceName"), m.ResourceName, "must match the extended resource name of an entry in spec.initContainers.resources.requests or spec.containers.resources.requests"))
		}
		errs = append(errs, podtemplate.DNSLabel(m.RequestName, fld.Child("requestName"))...)
		if seen.Has(m) {
			errs = append(errs, field.Duplicate(at.Child("containerName"), m.ContainerName),
				field.Duplicate(at.Child("resourceName"), m.ResourceName), field.Duplicate(at.Child("requestName"), m.RequestName))
		}
		seen.Insert(m)
	}
	if s.ResourceClaimName == "" {
		return append(errs, field.Required(fld.Child("resourceClaimName"), ""))
	}
	return append(errs, subdomain(s.ResourceClaimName, fld.Child("resourceClaimName"))...)
}

// allocatedStatus checks what is reported about the health of devices (KEP-4680).
func allocatedStatus(list []corev1.ContainerStatus, containers []corev1.Container, s *corev1.PodStatus, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range list {
		// Reports about containers that are not in the spec are let through.
		j := slices.IndexFunc(containers, func(c corev1.Container) bool { return c.Name == list[i].Name })
		for k, r := range list[i].AllocatedResourcesStatus {
			at := fld.Index(i).Child("allocatedResourcesStatus").Index(k)
			if j >= 0 {
				errs = append(errs, allocatedName(r.Name, &containers[j], s, at.Child("name"))...)
			}
			errs = append(errs, resourceHealth(r.Resources, at.Child("resources"))...)
		}
	}
	return errs
}

func allocatedName(name corev1.ResourceName, c *corev1.Container, s *corev1.PodStatus, fld *field.Path) field.ErrorList {
	claim, ok := strings.CutPrefix(string(name), "claim:")
	if !ok {
		if _, ok := c.Resources.Requests[name]; ok {
			return nil
		}
		return field.ErrorList{field.Invalid(fld, name, "must match one of the container's resource requests")}
	}
	claimName, request, hasRequest := strings.Cut(claim, "/")
	for _, ref := range c.Resources.Claims {
		if ref.Name == claimName && ref.Request == request && hasRequest == (ref.Request != "") {
			return nil
		}
	}
	if e := s.ExtendedResourceClaimStatus; e != nil && request != "" && e.ResourceClaimName == claimName {
		for _, m := range e.RequestMappings {
			quantity := c.Resources.Requests[corev1.ResourceName(m.ResourceName)]
			if m.ContainerName == c.Name && m.RequestName == request && !quantity.IsZero() {
				return nil
			}
		}
	}
	return field.ErrorList{field.Invalid(fld, name, "must match one of the container's resource claims as 'claim:<claimName>/<requestName>' when container.resources.claims[*].request is set or 'claim:<claimName>' when it is empty")}
}

func resourceHealth(list []corev1.ResourceHealth, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := sets.New[corev1.ResourceID]()
	for i, h := range list {
		at := fld.Index(i)
		errs = append(errs, podtemplate.OneOf(at.Child("health"), h.Health,
			corev1.ResourceHealthStatusHealthy, corev1.ResourceHealthStatusUnhealthy, corev1.ResourceHealthStatusUnknown)...)
		if h.Message != nil && *h.Message == "" {
			errs = append(errs, field.Required(at.Child("message"), "must be non-empty if specified"))
		} else if h.Message != nil && len(*h.Message) > corev1.ResourceHealthMessageMaxLength {
			errs = append(errs, field.TooLong(at.Child("message"), *h.Message, corev1.ResourceHealthMessageMaxLength))
		}
		if seen.Has(h.ResourceID) {
			errs = append(errs, field.Duplicate(at.Child("resourceID"), h.ResourceID))
		}
		seen.Insert(h.ResourceID)
	}
	return errs
}
