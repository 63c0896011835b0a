package container

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// effective returns a container's security context with the pod's where it says
// nothing itself.
func effective(pod *corev1.Pod, c *corev1.Container) corev1.SecurityContext {
	var sc corev1.SecurityContext
	if c.SecurityContext != nil {
		sc = *c.SecurityContext
	}
	p := pod.Spec.SecurityContext
	if p == nil {
		return sc
	}
	inherit(&sc.RunAsUser, p.RunAsUser)
	inherit(&sc.RunAsGroup, p.RunAsGroup)
	inherit(&sc.RunAsNonRoot, p.RunAsNonRoot)
	inherit(&sc.SELinuxOptions, p.SELinuxOptions)
	inherit(&sc.SeccompProfile, p.SeccompProfile)
	inherit(&sc.AppArmorProfile, p.AppArmorProfile)
	return sc
}

func inherit[T any](field **T, value *T) {
	if *field == nil {
		*field = value
	}
}

// imageUser is whom an image's containers run as, by number or by name. An image
// that names nobody means root.
func imageUser(image *runtimeapi.Image) (uid *int64, username string) {
	switch {
	case image.GetUid() != nil:
		return &image.Uid.Value, ""
	case image.GetUsername() != "":
		return nil, image.Username
	default:
		return new(int64), ""
	}
}

// checkNonRoot fails for a container that would run as root although it must
// not, given the user that its image names.
func checkNonRoot(pod *corev1.Pod, c *corev1.Container, uid *int64, username string) error {
	sc := effective(pod, c)
	if sc.RunAsNonRoot == nil || !*sc.RunAsNonRoot {
		return nil
	}
	where := fmt.Sprintf("(pod: %q, container: %s)", Describe(pod), c.Name)
	switch {
	case sc.RunAsUser != nil && *sc.RunAsUser == 0:
		return fmt.Errorf("container's runAsUser breaks non-root policy %s", where)
	case sc.RunAsUser != nil:
		return nil
	case uid == nil && username != "":
		return fmt.Errorf("container has runAsNonRoot and image has non-numeric user (%s), cannot verify user is non-root %s", username, where)
	case uid != nil && *uid == 0:
		return fmt.Errorf("container has runAsNonRoot and image will run as root %s", where)
	case uid != nil:
		if errs := validation.IsValidUserID(*uid); len(errs) > 0 {
			return fmt.Errorf("container has runAsNonRoot and image has an invalid user id (%d). (Must be 1-(%d)): %s %s", *uid, math.MaxInt32, strings.Join(errs, "; "), where)
		}
	}
	return nil
}

// security returns a container's security context.
func (n *Node) security(pod *corev1.Pod, c *corev1.Container, uid *int64, username string) (*runtimeapi.LinuxContainerSecurityContext, error) {
	sc := effective(pod, c)
	out := &runtimeapi.LinuxContainerSecurityContext{
		Privileged:       isTrue(sc.Privileged),
		ReadonlyRootfs:   isTrue(sc.ReadOnlyRootFilesystem),
		NamespaceOptions: namespaces(pod),
		NoNewPrivs:       sc.AllowPrivilegeEscalation != nil && !*sc.AllowPrivilegeEscalation,
		SelinuxOptions:   selinux(sc.SELinuxOptions),
		Apparmor:         apparmor(sc.AppArmorProfile, pod, c),
		RunAsUser:        int64Value(sc.RunAsUser),
		RunAsGroup:       int64Value(sc.RunAsGroup),
	}
	if sc.Capabilities != nil {
		out.Capabilities = &runtimeapi.Capability{AddCapabilities: words(sc.Capabilities.Add), DropCapabilities: words(sc.Capabilities.Drop)}
	}
	if out.RunAsUser == nil {
		out.RunAsUser = int64Value(uid)
		out.RunAsUsername = username
	}
	var err error
	if out.Seccomp, err = n.seccomp(sc.SeccompProfile); err != nil {
		return nil, err
	}
	if sc.ProcMount == nil || *sc.ProcMount != corev1.UnmaskedProcMount {
		out.MaskedPaths, out.ReadonlyPaths = maskedPaths(), readonlyPaths
	}
	out.SupplementalGroups, out.SupplementalGroupsPolicy = groups(pod)
	return out, nil
}

// groups are a pod's supplemental groups, fsGroup among them.
func groups(pod *corev1.Pod) ([]int64, runtimeapi.SupplementalGroupsPolicy) {
	p := pod.Spec.SecurityContext
	if p == nil {
		return nil, 0
	}
	var out []int64
	if p.FSGroup != nil {
		out = append(out, *p.FSGroup)
	}
	policy := runtimeapi.SupplementalGroupsPolicy_Merge
	if p.SupplementalGroupsPolicy != nil && *p.SupplementalGroupsPolicy == corev1.SupplementalGroupsPolicyStrict {
		policy = runtimeapi.SupplementalGroupsPolicy_Strict
	}
	return append(out, p.SupplementalGroups...), policy
}

func (n *Node) seccomp(p *corev1.SeccompProfile) (*runtimeapi.SecurityProfile, error) {
	if p == nil {
		return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Unconfined}, nil
	}
	switch p.Type {
	case corev1.SeccompProfileTypeRuntimeDefault:
		return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_RuntimeDefault}, nil
	case corev1.SeccompProfileTypeLocalhost:
		if p.LocalhostProfile == nil || *p.LocalhostProfile == "" {
			return nil, fmt.Errorf("localhostProfile must be set if seccompProfile type is Localhost.")
		}
		return &runtimeapi.SecurityProfile{
			ProfileType:  runtimeapi.SecurityProfile_Localhost,
			LocalhostRef: filepath.Join(filepath.Dir(n.PodsDir), "seccomp", *p.LocalhostProfile),
		}, nil
	}
	return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Unconfined}, nil
}

// apparmor returns the profile, nil where the kernel has no AppArmor and none is
// asked for.
func apparmor(p *corev1.AppArmorProfile, pod *corev1.Pod, c *corev1.Container) *runtimeapi.SecurityProfile {
	if p == nil {
		return nil
	}
	switch p.Type {
	case corev1.AppArmorProfileTypeUnconfined:
		return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Unconfined}
	case corev1.AppArmorProfileTypeLocalhost:
		if p.LocalhostProfile != nil {
			return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Localhost, LocalhostRef: *p.LocalhostProfile}
		}
	}
	return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_RuntimeDefault}
}

func selinux(o *corev1.SELinuxOptions) *runtimeapi.SELinuxOption {
	if o == nil {
		return nil
	}
	return &runtimeapi.SELinuxOption{User: o.User, Role: o.Role, Type: o.Type, Level: o.Level}
}

// namespaces are the same for a pod's sandbox and its containers.
func namespaces(pod *corev1.Pod) *runtimeapi.NamespaceOption {
	o := &runtimeapi.NamespaceOption{
		Network: runtimeapi.NamespaceMode_POD, Ipc: runtimeapi.NamespaceMode_POD, Pid: runtimeapi.NamespaceMode_CONTAINER,
	}
	if pod.Spec.HostNetwork {
		o.Network = runtimeapi.NamespaceMode_NODE
	}
	if pod.Spec.HostIPC {
		o.Ipc = runtimeapi.NamespaceMode_NODE
	}
	switch {
	case pod.Spec.HostPID:
		o.Pid = runtimeapi.NamespaceMode_NODE
	case isTrue(pod.Spec.ShareProcessNamespace):
		o.Pid = runtimeapi.NamespaceMode_POD
	}
	return o
}

// NetworkMode is the network namespace that the pod's sandbox must have.
func NetworkMode(pod *corev1.Pod) runtimeapi.NamespaceMode { return namespaces(pod).Network }

func isTrue(b *bool) bool { return b != nil && *b }

func int64Value(v *int64) *runtimeapi.Int64Value {
	if v == nil {
		return nil
	}
	return &runtimeapi.Int64Value{Value: *v}
}

func words[T ~string](in []T) []string {
	out := make([]string, len(in))
	for i, w := range in {
		out[i] = string(w)
	}
	return out
}

var readonlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}

// maskedPaths hide what tells about, or harms, the whole machine.
var maskedPaths = sync.OnceValue(func() []string {
	paths := []string{
		"/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
		"/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
		"/sys/devices/virtual/powercap",
	}
	throttles, _ := filepath.Glob("/sys/devices/system/cpu/cpu[0-9]*/thermal_throttle")
	for _, p := range throttles {
		if _, err := os.Stat(p); err == nil {
			paths = append(paths, p)
		}
	}
	return paths
})
