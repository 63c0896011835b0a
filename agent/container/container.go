package container

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Volume is where a pod's volume is on the node.
type Volume struct {
	Path string
	// ReadOnly volumes cannot be mounted for writing.
	ReadOnly bool
	// Image, if set, names the image that the runtime mounts itself instead of Path.
	Image *runtimeapi.ImageSpec
}

// Features are what a runtime handler can do beyond the basics.
type Features struct {
	// RecursiveReadOnly mounts are read-only with all that is mounted below (KEP-3857).
	RecursiveReadOnly bool
	// UserNamespaces maps a pod's users to others of the node (KEP-127).
	UserNamespaces bool
}

// Volumes resolves a pod's mounts.
type Volumes interface {
	// Volume returns a mounted volume of the pod.
	Volume(pod *corev1.Pod, name string) (Volume, error)
	// SubPath returns a path that stays bound to the file or directory sub of
	// a volume, whatever the pod does to the volume meanwhile; it makes the
	// directory if there is nothing.
	SubPath(pod *corev1.Pod, volume Volume, name, container string, index int, sub string) (string, error)
}

// Request says which container of a pod to configure.
type Request struct {
	Pod       *corev1.Pod
	Container *corev1.Container
	// Restarts is how often it was restarted before.
	Restarts int
	// PodIPs are the sandbox's, or the node's for a pod on its network.
	PodIPs []string
	// Image is the image as the runtime knows it, Images are those of the pod's
	// image volumes by the volume's name.
	Image  *runtimeapi.Image
	Images map[string]*runtimeapi.Image
	// TargetID is the container whose processes an ephemeral one shares.
	TargetID string
	// RuntimeHandler is the pod's, Features what it can do.
	RuntimeHandler string
	Features       Features
	Volumes        Volumes
}

// Container returns a container's configuration.
func (n *Node) Container(ctx context.Context, r Request) (*runtimeapi.ContainerConfig, error) {
	pod, c := r.Pod, r.Container
	uid, username := imageUser(r.Image)
	if err := checkNonRoot(pod, c, uid, username); err != nil {
		return nil, err
	}
	env, err := n.env(ctx, r)
	if err != nil {
		return nil, err
	}
	mounts, err := n.mounts(r, env)
	if err != nil {
		return nil, err
	}
	sc, err := n.security(pod, c, uid, username)
	if err != nil {
		return nil, err
	}
	if err := n.mapUsers(pod, sc, mounts, r.Features); err != nil {
		return nil, err
	}
	if r.TargetID != "" && sc.NamespaceOptions.Pid == runtimeapi.NamespaceMode_CONTAINER {
		sc.NamespaceOptions.Pid = runtimeapi.NamespaceMode_TARGET
		sc.NamespaceOptions.TargetId = r.TargetID
	}
	cfg := &runtimeapi.ContainerConfig{
		Metadata:    &runtimeapi.ContainerMetadata{Name: c.Name, Attempt: uint32(r.Restarts)},
		Image:       &runtimeapi.ImageSpec{Image: r.Image.GetId(), UserSpecifiedImage: c.Image, RuntimeHandler: r.RuntimeHandler},
		Command:     expandAll(c.Command, env.values),
		Args:        expandAll(c.Args, env.values),
		WorkingDir:  c.WorkingDir,
		Envs:        env.cri(),
		Mounts:      mounts,
		Labels:      containerLabels(pod, c.Name),
		Annotations: containerAnnotations(pod, c, r.Restarts),
		LogPath:     LogPath(c.Name, r.Restarts),
		Stdin:       c.Stdin,
		StdinOnce:   c.StdinOnce,
		Tty:         c.TTY,
		Linux:       &runtimeapi.LinuxContainerConfig{Resources: n.resources(pod, c), SecurityContext: sc},
	}
	if c.Lifecycle != nil && c.Lifecycle.StopSignal != nil {
		cfg.StopSignal = runtimeapi.Signal(runtimeapi.Signal_value[string(*c.Lifecycle.StopSignal)])
	}
	// The runtime does not make the directory of a container's own.
	if err := os.MkdirAll(filepath.Join(n.PodLogDir(pod), c.Name), 0o755); err != nil {
		return nil, fmt.Errorf("create log directory for container %s failed: %w", c.Name, err)
	}
	return cfg, nil
}

// mounts are the container's volumes, its hosts file and its termination log.
func (n *Node) mounts(r Request, env *environment) ([]*runtimeapi.Mount, error) {
	var out []*runtimeapi.Mount
	for i := range r.Container.VolumeMounts {
		m, err := n.volumeMount(r, env, i)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	hosts, err := n.hostsMount(r.Pod, r.Container, r.PodIPs)
	if err != nil {
		return nil, err
	}
	if hosts != nil {
		out = append(out, hosts)
	}
	if r.Container.TerminationMessagePath != "" {
		log, err := n.terminationLog(r.Pod, r.Container)
		if err != nil {
			return nil, err
		}
		out = append(out, log)
	}
	return out, nil
}

func (n *Node) volumeMount(r Request, env *environment, index int) (*runtimeapi.Mount, error) {
	vm := &r.Container.VolumeMounts[index]
	volume, err := r.Volumes.Volume(r.Pod, vm.Name)
	if err != nil {
		return nil, fmt.Errorf("cannot find volume %q to mount into container %q", vm.Name, r.Container.Name)
	}
	recursive, err := RecursiveReadOnly(vm, r.Features)
	if err != nil {
		return nil, fmt.Errorf("failed to resolve recursive read-only mode: %w", err)
	}
	m := &runtimeapi.Mount{
		ContainerPath: vm.MountPath, HostPath: volume.Path, Image: volume.Image,
		Readonly:          vm.ReadOnly || volume.ReadOnly,
		Propagation:       propagation(vm.MountPropagation),
		RecursiveReadOnly: recursive,
	}
	if img := r.Images[vm.Name]; img != nil && m.Image != nil {
		m.Image.Image = fullName(img)
	}
	if !filepath.IsAbs(m.ContainerPath) {
		m.ContainerPath = filepath.Join("/", m.ContainerPath)
	}
	sub := vm.SubPath
	if vm.SubPathExpr != "" {
		if sub, err = expandSubPath(vm, env); err != nil {
			return nil, err
		}
	}
	switch {
	case sub == "":
	case volume.Image != nil:
		m.ImageSubPath = sub
	default:
		if m.HostPath, err = r.Volumes.SubPath(r.Pod, volume, vm.Name, r.Container.Name, index, sub); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// fullName is how an image is named to be mounted: containerd finds it by its ID
// only if it was pulled, and by its name only if that is complete.
func fullName(img *runtimeapi.Image) string {
	for _, names := range [][]string{img.RepoTags, img.RepoDigests} {
		if len(names) > 0 {
			return names[0]
		}
	}
	return img.Id
}

// RecursiveReadOnly tells whether a mount is read-only with all that is mounted
// below it. It is an error to ask for that where it cannot be.
func RecursiveReadOnly(vm *corev1.VolumeMount, f Features) (bool, error) {
	mode := corev1.RecursiveReadOnlyDisabled
	if vm.RecursiveReadOnly != nil {
		mode = *vm.RecursiveReadOnly
	}
	switch {
	case mode == corev1.RecursiveReadOnlyDisabled:
		return false, nil
	case !vm.ReadOnly:
		return false, fmt.Errorf("volume %q requested recursive read-only mode, but it is not read-only", vm.Name)
	case vm.MountPropagation != nil && *vm.MountPropagation != corev1.MountPropagationNone:
		return false, fmt.Errorf("volume %q requested recursive read-only mode, but it is not compatible with propagation %q", vm.Name, *vm.MountPropagation)
	case mode == corev1.RecursiveReadOnlyEnabled && !f.RecursiveReadOnly:
		return false, fmt.Errorf("volume %q requested recursive read-only mode, but it is not supported by the runtime", vm.Name)
	}
	return f.RecursiveReadOnly, nil
}

// expandSubPath fails for a variable that is not set, because a volume's root
// would be mounted instead.
func expandSubPath(vm *corev1.VolumeMount, env *environment) (string, error) {
	var missing string
	sub := Expand(vm.SubPathExpr, func(name string) (string, bool) {
		v, ok := env.values[name]
		if !ok || v == "" {
			missing = name
		}
		return v, ok
	})
	if missing != "" {
		return "", fmt.Errorf("missing value for %q", missing)
	}
	return sub, nil
}

func propagation(p *corev1.MountPropagationMode) runtimeapi.MountPropagation {
	if p != nil {
		switch *p {
		case corev1.MountPropagationHostToContainer:
			return runtimeapi.MountPropagation_PROPAGATION_HOST_TO_CONTAINER
		case corev1.MountPropagationBidirectional:
			return runtimeapi.MountPropagation_PROPAGATION_BIDIRECTIONAL
		}
	}
	return runtimeapi.MountPropagation_PROPAGATION_PRIVATE
}

// terminationLog makes an empty file for the container's last words.
func (n *Node) terminationLog(pod *corev1.Pod, c *corev1.Container) (*runtimeapi.Mount, error) {
	dir := filepath.Join(n.PodDir(pod.UID), "containers", c.Name)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("make the container's directory: %w", err)
	}
	name := filepath.Join(dir, rand.String(8))
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if err != nil {
		return nil, fmt.Errorf("make the container's termination log: %w", err)
	}
	defer f.Close()
	// The container may run as any user, whatever the process' umask is.
	if err := f.Chmod(0o666); err != nil {
		return nil, fmt.Errorf("make the container's termination log: %w", err)
	}
	return &runtimeapi.Mount{HostPath: name, ContainerPath: c.TerminationMessagePath}, nil
}

// RestartsFromLogs returns how often a container was started before, by the
// numbers of its log files, for when the runtime has forgotten it.
func (n *Node) RestartsFromLogs(pod *corev1.Pod, name string) int {
	entries, err := os.ReadDir(filepath.Join(n.PodLogDir(pod), name))
	if err != nil {
		return 0
	}
	next := 0
	for _, e := range entries {
		base := e.Name()
		for i := range base {
			if base[i] == '.' {
				if number, err := strconv.Atoi(base[:i]); err == nil {
					next = max(next, number+1)
				}
				break
			}
		}
	}
	return next
}
