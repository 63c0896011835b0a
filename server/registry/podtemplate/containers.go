package podtemplate

import (
	"iter"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// containersAt yields every container of a pod with its path: init containers,
// containers, ephemeral ones.
func containersAt(spec *corev1.PodSpec, fld *field.Path) iter.Seq2[*corev1.Container, *field.Path] {
	return func(yield func(*corev1.Container, *field.Path) bool) {
		for i := range spec.InitContainers {
			if !yield(&spec.InitContainers[i], fld.Child("initContainers").Index(i)) {
				return
			}
		}
		for i := range spec.Containers {
			if !yield(&spec.Containers[i], fld.Child("containers").Index(i)) {
				return
			}
		}
		for i := range spec.EphemeralContainers {
			c := (*corev1.Container)(&spec.EphemeralContainers[i].EphemeralContainerCommon)
			if !yield(c, fld.Child("ephemeralContainers").Index(i)) {
				return
			}
		}
	}
}

// Containers yields every container of a pod: init containers, containers,
// ephemeral ones.
func Containers(spec *corev1.PodSpec) iter.Seq[*corev1.Container] {
	return func(yield func(*corev1.Container) bool) {
		for i := range spec.InitContainers {
			if !yield(&spec.InitContainers[i]) {
				return
			}
		}
		for i := range spec.Containers {
			if !yield(&spec.Containers[i]) {
				return
			}
		}
		for i := range spec.EphemeralContainers {
			if !yield((*corev1.Container)(&spec.EphemeralContainers[i].EphemeralContainerCommon)) {
				return
			}
		}
	}
}

// IsSidecar tells whether an init container runs as long as the pod does
// (KEP-753).
func IsSidecar(c *corev1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

// podContext is what the checks of one container need to know about its pod.
type podContext struct {
	spec    *corev1.PodSpec
	volumes volumeSet
	claims  sets.Set[string]
	opts    Options
}

// hostUsers tells whether the pod has its node's users.
func (p *podContext) hostUsers() bool { return p.spec.HostUsers == nil || *p.spec.HostUsers }

// common checks what all types of containers have in common.
func (p *podContext) common(c *corev1.Container, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if c.Name == "" {
		errs = append(errs, field.Required(fld.Child("name"), ""))
	} else {
		errs = append(errs, DNSLabel(c.Name, fld.Child("name"))...)
	}
	errs = append(errs, required(fld.Child("image"), c.Image)...)
	errs = append(errs, requiredOneOf(fld.Child("terminationMessagePolicy"), c.TerminationMessagePolicy,
		corev1.TerminationMessageReadFile, corev1.TerminationMessageFallbackToLogsOnError)...)
	errs = append(errs, validatePorts(c.Ports, fld.Child("ports"))...)
	errs = append(errs, validateEnv(c.Env, fld.Child("env"))...)
	errs = append(errs, validateEnvFrom(c.EnvFrom, fld.Child("envFrom"))...)
	errs = append(errs, validateMounts(c, p.volumes, fld.Child("volumeMounts"))...)
	errs = append(errs, validateDevices(c, p.volumes, fld.Child("volumeDevices"))...)
	errs = append(errs, validatePullPolicy(c.ImagePullPolicy, fld.Child("imagePullPolicy"))...)
	errs = append(errs, containerResources(&c.Resources, p.claims, fld.Child("resources"), p.opts)...)
	errs = append(errs, validateResizePolicy(c.ResizePolicy, fld.Child("resizePolicy"), p.spec.RestartPolicy)...)
	return append(errs, validateSecurityContext(c.SecurityContext, fld.Child("securityContext"), p.hostUsers(), p.opts)...)
}

func validatePullPolicy(policy corev1.PullPolicy, fld *field.Path) field.ErrorList {
	return requiredOneOf(fld, policy, corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever)
}

func (p *podContext) containers(fld *field.Path) field.ErrorList {
	list := p.spec.Containers
	if len(list) == 0 {
		return field.ErrorList{field.Required(fld, "")}
	}
	var errs field.ErrorList
	names := sets.New[string]()
	for i := range list {
		c, at := &list[i], fld.Index(i)
		errs = append(errs, p.common(c, at)...)
		if names.Has(c.Name) {
			errs = append(errs, field.Duplicate(at.Child("name"), c.Name))
		}
		names.Insert(c.Name)
		errs = append(errs, validateProbes(c, p.spec.OS, p.spec.TerminationGracePeriodSeconds, at)...)
		errs = append(errs, validateContainerRestart(c, false, at)...)
	}
	return append(errs, validateHostPortConflicts(list, fld)...)
}

func (p *podContext) initContainers(fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	names := sets.New[string]()
	for i := range p.spec.Containers {
		names.Insert(p.spec.Containers[i].Name)
	}
	for i := range p.spec.InitContainers {
		c, at := &p.spec.InitContainers[i], fld.Index(i)
		errs = append(errs, p.common(c, at)...)
		errs = append(errs, validateContainerRestart(c, true, at)...)
		if names.Has(c.Name) {
			errs = append(errs, field.Duplicate(at.Child("name"), c.Name))
		} else if c.Name != "" {
			names.Insert(c.Name)
		}
		// One by one: init containers do not run at the same time.
		errs = append(errs, validateHostPortConflicts(p.spec.InitContainers[i:i+1], fld)...)
		if IsSidecar(c) {
			errs = append(errs, validateProbes(c, p.spec.OS, p.spec.TerminationGracePeriodSeconds, at)...)
			continue
		}
		errs = append(errs, validateRunToEnd(c, at, p.opts)...)
	}
	return errs
}

// validateRunToEnd forbids what makes no sense for a container that the pod
// waits for.
func validateRunToEnd(c *corev1.Container, fld *field.Path, opts Options) field.ErrorList {
	const text = "may not be set for init containers without restartPolicy=Always"
	var errs field.ErrorList
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"lifecycle", c.Lifecycle != nil},
		{"livenessProbe", c.LivenessProbe != nil},
		{"readinessProbe", c.ReadinessProbe != nil},
		{"startupProbe", c.StartupProbe != nil},
	} {
		if f.set {
			errs = append(errs, field.Forbidden(fld.Child(f.name), text))
		}
	}
	if opts.AllowInitResizeRestart {
		return errs
	}
	for i, policy := range c.ResizePolicy {
		if policy.RestartPolicy == corev1.RestartContainer {
			errs = append(errs, field.Invalid(fld.Child("resizePolicy").Index(i).Child("restartPolicy"), policy.RestartPolicy,
				"must not be set to 'RestartContainer' for non-sidecar initContainers"))
		}
	}
	return errs
}

func (p *podContext) ephemeralContainers(fld *field.Path) field.ErrorList {
	if len(p.spec.EphemeralContainers) == 0 {
		return nil
	}
	others := sets.New[string]()
	for i := range p.spec.Containers {
		others.Insert(p.spec.Containers[i].Name)
	}
	for i := range p.spec.InitContainers {
		others.Insert(p.spec.InitContainers[i].Name)
	}
	var errs field.ErrorList
	names := others.Clone()
	for i := range p.spec.EphemeralContainers {
		ec, at := &p.spec.EphemeralContainers[i], fld.Index(i)
		c := (*corev1.Container)(&ec.EphemeralContainerCommon)
		errs = append(errs, p.common(c, at)...)
		errs = append(errs, validateImagePadding(c.Image, at)...)
		if names.Has(ec.Name) {
			errs = append(errs, field.Duplicate(at.Child("name"), ec.Name))
		}
		names.Insert(ec.Name)
		if ec.TargetContainerName != "" && !others.Has(ec.TargetContainerName) {
			errs = append(errs, field.NotFound(at.Child("targetContainerName"), ec.TargetContainerName))
		}
		errs = append(errs, validateEphemeralFields(ec, at)...)
	}
	return errs
}

// validateEphemeralFields keeps ephemeral containers from what a pod would rely
// on, and from sub-paths, whose mounts stay until the pod ends.
func validateEphemeralFields(ec *corev1.EphemeralContainer, fld *field.Path) field.ErrorList {
	const text = "cannot be set for an Ephemeral Container"
	errs := OnlyFields(ec.EphemeralContainerCommon, fld, text,
		"Name", "Image", "Command", "Args", "WorkingDir", "EnvFrom", "Env", "VolumeMounts", "VolumeDevices",
		"TerminationMessagePath", "TerminationMessagePolicy", "ImagePullPolicy", "SecurityContext", "Stdin", "StdinOnce", "TTY")
	for i, m := range ec.VolumeMounts {
		at := fld.Child("volumeMounts").Index(i)
		if m.SubPath != "" {
			errs = append(errs, field.Forbidden(at.Child("subPath"), text))
		}
		if m.SubPathExpr != "" {
			errs = append(errs, field.Forbidden(at.Child("subPathExpr"), text))
		}
	}
	return errs
}

// validateImagePadding holds for pods only: in templates others may have given
// such an image a meaning.
func validateImagePadding(image string, fld *field.Path) field.ErrorList {
	if image == strings.TrimSpace(image) {
		return nil
	}
	return field.ErrorList{field.Invalid(fld.Child("image"), image, "must not have leading or trailing whitespace")}
}
