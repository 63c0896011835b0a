package core

import (
	"context"
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/warning"

	"skiff/server/registry"
	"skiff/server/registry/podtemplate"
)

func pods(d Deps) *registry.Resource {
	r := resourceOf[corev1.Pod, corev1.PodList]("pods", "Pod", "po")
	r.Categories = []string{"all"}
	r.Rules.Generation = true
	r.Rules.Default = registry.Default(podtemplate.DefaultPod)
	r.Rules.PrepareCreate = registry.Prepare(func(ctx context.Context, p *corev1.Pod) { preparePod(ctx, p, d) })
	r.Rules.PrepareUpdate = registry.PrepareUpdate(preparePodUpdate)
	r.Rules.Validate = registry.Validate(func(_ context.Context, p *corev1.Pod) field.ErrorList {
		return podtemplate.ValidatePod(p, podtemplate.OptionsForPod(nil))
	})
	r.Rules.ValidateUpdate = registry.ValidateUpdate(func(_ context.Context, p, old *corev1.Pod) field.ErrorList {
		return podtemplate.ValidatePodUpdate(p, old, podtemplate.OptionsForPod(old))
	})
	r.Rules.Warnings = func(_ context.Context, obj, old registry.Object) []string {
		if old != nil {
			return nil
		}
		p := obj.(*corev1.Pod)
		var texts []string
		if msgs := validation.IsDNS1123Label(p.Name); len(msgs) > 0 {
			texts = append(texts, fmt.Sprintf("metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: %v", msgs))
		}
		return append(texts, podtemplate.Warnings(&p.Spec, p.Annotations, nil)...)
	}
	r.Rules.Grace = podGrace
	r.FieldNames = []string{
		"spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
		"status.phase", "status.podIP", "status.nominatedNodeName",
	}
	r.WireFields = []string{
		"spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "status.phase", "status.nominatedNodeName",
	}
	r.Fields = podFields
	r.Columns = podColumns()
	r.Cells = registry.Cells(podCells)
	r.Subresources = append(podUpdates(),
		registry.Subresource{
			Name: "binding", Kind: corev1.SchemeGroupVersion.WithKind("Binding"),
			New: registry.New[corev1.Binding](), Create: d.bind,
		},
		registry.Subresource{
			Name: "eviction", Kind: policyv1.SchemeGroupVersion.WithKind("Eviction"),
			New: registry.New[policyv1.Eviction](), Create: d.evict,
		},
		registry.Subresource{Name: "log", Connect: d.podLog, Verbs: []string{"get"}},
		registry.Subresource{
			Name: "exec", Kind: corev1.SchemeGroupVersion.WithKind("PodExecOptions"), Connect: d.podExec, Verbs: streamVerbs,
			New: func() runtime.Object { return &corev1.PodExecOptions{Stdout: true, Stderr: true} },
		},
		registry.Subresource{
			Name: "attach", Kind: corev1.SchemeGroupVersion.WithKind("PodAttachOptions"), Connect: d.podAttach, Verbs: streamVerbs,
			New: func() runtime.Object { return &corev1.PodAttachOptions{Stdout: true, Stderr: true} },
		},
		registry.Subresource{
			Name: "portforward", Kind: corev1.SchemeGroupVersion.WithKind("PodPortForwardOptions"), Connect: d.podPortForward, Verbs: streamVerbs,
			New: registry.New[corev1.PodPortForwardOptions](),
		},
		registry.Subresource{
			Name: "proxy", Kind: corev1.SchemeGroupVersion.WithKind("PodProxyOptions"), Connect: d.podProxy, Verbs: connectVerbs,
			New: registry.New[corev1.PodProxyOptions](),
		},
	)
	return r
}

// podUpdates are the subresources that update a part of a pod.
func podUpdates() []registry.Subresource {
	return []registry.Subresource{
		{Name: "status", Update: &registry.Rules{
			PrepareUpdate:  registry.PrepareUpdate(preparePodStatus),
			ValidateUpdate: registry.ValidateUpdate(validatePodStatus),
			Warnings:       podStatusWarnings,
		}},
		{Name: "ephemeralcontainers", Update: &registry.Rules{
			Generation: true,
			PrepareUpdate: registry.PrepareUpdate(func(_ context.Context, p, old *corev1.Pod) {
				added := p.Spec.EphemeralContainers
				keepAllBut(p, old)
				p.Spec.EphemeralContainers = added
				podtemplate.DropDisabledPod(p, old)
			}),
			ValidateUpdate: registry.ValidateUpdate(func(_ context.Context, p, old *corev1.Pod) field.ErrorList {
				return podtemplate.ValidateEphemeralUpdate(p, old, podtemplate.OptionsForPod(old))
			}),
		}},
		{Name: "resize", Update: &registry.Rules{
			Generation:    true,
			PrepareUpdate: registry.PrepareUpdate(preparePodResize),
			ValidateUpdate: registry.ValidateUpdate(func(_ context.Context, p, old *corev1.Pod) field.ErrorList {
				return podtemplate.ValidateResize(p, old, podtemplate.OptionsForPod(old))
			}),
		}},
	}
}

// keepAllBut puts back all of a pod but the metadata that a partial update may
// change.
func keepAllBut(p, old *corev1.Pod) {
	p.Spec, p.Status = *old.Spec.DeepCopy(), old.Status
	metav1.ResetObjectMetaForStatus(&p.ObjectMeta, &old.ObjectMeta)
}

func podFields(obj registry.Object) fields.Set {
	p := obj.(*corev1.Pod)
	ip := ""
	if len(p.Status.PodIPs) > 0 {
		ip = p.Status.PodIPs[0].IP
	}
	return fields.Set{
		"spec.nodeName":            p.Spec.NodeName,
		"spec.restartPolicy":       string(p.Spec.RestartPolicy),
		"spec.schedulerName":       p.Spec.SchedulerName,
		"spec.serviceAccountName":  p.Spec.ServiceAccountName,
		"spec.hostNetwork":         strconv.FormatBool(p.Spec.HostNetwork),
		"status.phase":             string(p.Status.Phase),
		"status.podIP":             ip,
		"status.nominatedNodeName": p.Status.NominatedNodeName,
	}
}

// podGrace lets the agent of a pod's node stop it first, if there is something to
// stop.
func podGrace(obj registry.Object, opts *metav1.DeleteOptions) int64 {
	p := obj.(*corev1.Pod)
	var period int64
	if opts.GracePeriodSeconds != nil {
		period = *opts.GracePeriodSeconds
	} else if p.Spec.TerminationGracePeriodSeconds != nil {
		period = *p.Spec.TerminationGracePeriodSeconds
	}
	if p.Spec.NodeName == "" || p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded {
		return 0
	}
	if period < 0 {
		return 1
	}
	return period
}

func preparePod(ctx context.Context, p *corev1.Pod, d Deps) {
	p.Status = corev1.PodStatus{Phase: corev1.PodPending}
	podtemplate.DropDisabledPod(p, nil)
	if len(p.Spec.SchedulingGates) > 0 {
		setPodCondition(&p.Status, corev1.PodCondition{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonSchedulingGated,
			Message: "Scheduling is blocked due to non-empty scheduling gates",
		}, metav1.NewTime(d.Now()))
	}
	podtemplate.MergeLabelKeys(p)
	for _, text := range podtemplate.AdoptAppArmorAnnotations(p) {
		warning.AddWarning(ctx, "", text)
	}
	podtemplate.DefaultPodResources(p)
	p.Status.QOSClass = podtemplate.ComputeQOS(&p.Spec)
}

func preparePodUpdate(_ context.Context, p, old *corev1.Pod) {
	p.Status = old.Status
	if p.Spec.Resources == nil {
		// The client may not know the field.
		p.Spec.Resources = old.Spec.Resources.DeepCopy()
	}
	podtemplate.DropDisabledPod(p, old)
}

// preparePodResize keeps all but the resources and resize policies. Where the
// containers are not the same, nothing is kept, for validation to refuse.
func preparePodResize(_ context.Context, p, old *corev1.Pod) {
	if len(p.Spec.Containers) == len(old.Spec.Containers) && len(p.Spec.InitContainers) == len(old.Spec.InitContainers) {
		resources := p.Spec.Resources
		containers := onlyResized(p.Spec.Containers, old.Spec.Containers)
		initContainers := onlyResized(p.Spec.InitContainers, old.Spec.InitContainers)
		keepAllBut(p, old)
		p.Spec.Resources, p.Spec.Containers, p.Spec.InitContainers = resources, containers, initContainers
	}
	if p.Spec.Resources == nil {
		p.Spec.Resources = old.Spec.Resources.DeepCopy()
	}
	podtemplate.DefaultPodResources(p)
	podtemplate.DropDisabledPod(p, old)
}

func onlyResized(list, old []corev1.Container) []corev1.Container {
	kept := make([]corev1.Container, len(old))
	for i := range old {
		if list[i].Name != old[i].Name {
			return list
		}
		kept[i] = *old[i].DeepCopy()
		kept[i].Resources, kept[i].ResizePolicy = list[i].Resources, list[i].ResizePolicy
	}
	if len(kept) == 0 {
		return list
	}
	return kept
}

// setPodCondition sets a condition; the time of its transition is now if its
// status changes.
func setPodCondition(s *corev1.PodStatus, c corev1.PodCondition, now metav1.Time) {
	c.LastTransitionTime = now
	for i := range s.Conditions {
		if s.Conditions[i].Type != c.Type {
			continue
		}
		if s.Conditions[i].Status == c.Status {
			c.LastTransitionTime = s.Conditions[i].LastTransitionTime
		}
		s.Conditions[i] = c
		return
	}
	s.Conditions = append(s.Conditions, c)
}

// preparePodStatus keeps what a report about a pod does not change, or leaves out
// because its writer does not know it.
func preparePodStatus(_ context.Context, p, old *corev1.Pod) {
	p.Spec = old.Spec
	p.DeletionTimestamp = nil
	p.OwnerReferences = old.OwnerReferences
	s, before := &p.Status, &old.Status
	if s.QOSClass == "" {
		s.QOSClass = before.QOSClass
	}
	if s.ResourceClaimStatuses == nil {
		s.ResourceClaimStatuses = before.ResourceClaimStatuses
	}
	if s.ExtendedResourceClaimStatus == nil {
		s.ExtendedResourceClaimStatus = before.ExtendedResourceClaimStatus
	}
	if s.NodeAllocatableResourceClaimStatuses == nil {
		s.NodeAllocatableResourceClaimStatuses = before.NodeAllocatableResourceClaimStatuses
	}
	keepObservedGeneration(s, before)
	podtemplate.DropDisabledPod(p, old)
}

func keepObservedGeneration(s, old *corev1.PodStatus) {
	if s.ObservedGeneration == 0 {
		s.ObservedGeneration = old.ObservedGeneration
	}
	// There may be several conditions of one type: they are matched in order.
	before := map[corev1.PodConditionType][]int64{}
	for _, c := range old.Conditions {
		before[c.Type] = append(before[c.Type], c.ObservedGeneration)
	}
	for i := range s.Conditions {
		c := &s.Conditions[i]
		list := before[c.Type]
		if len(list) == 0 {
			continue
		}
		before[c.Type] = list[1:]
		if c.ObservedGeneration == 0 {
			c.ObservedGeneration = list[0]
		}
	}
}

func podStatusWarnings(_ context.Context, obj, _ registry.Object) []string {
	p := obj.(*corev1.Pod)
	var texts []string
	for i, ip := range p.Status.PodIPs {
		texts = append(texts, validation.GetWarningsForIP(path("status", "podIPs").Index(i).Child("ip"), ip.IP)...)
	}
	for i, ip := range p.Status.HostIPs {
		texts = append(texts, validation.GetWarningsForIP(path("status", "hostIPs").Index(i).Child("ip"), ip.IP)...)
	}
	return texts
}
