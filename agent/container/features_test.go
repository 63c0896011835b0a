package container

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"skiff/agent/userns"
)

func TestRecursiveReadOnly(t *testing.T) {
	can := Features{RecursiveReadOnly: true}
	private, shared := corev1.MountPropagationNone, corev1.MountPropagationHostToContainer
	for _, c := range []struct {
		mode        corev1.RecursiveReadOnlyMode
		readOnly    bool
		propagation *corev1.MountPropagationMode
		features    Features
		want        bool
		err         string
	}{
		{mode: "", readOnly: true, features: can},
		{mode: corev1.RecursiveReadOnlyDisabled, readOnly: true, features: can},
		{mode: corev1.RecursiveReadOnlyIfPossible, readOnly: true, features: can, propagation: &private, want: true},
		{mode: corev1.RecursiveReadOnlyIfPossible, readOnly: true},
		{mode: corev1.RecursiveReadOnlyEnabled, readOnly: true, features: can, want: true},
		{mode: corev1.RecursiveReadOnlyEnabled, readOnly: true, err: "not supported by the runtime"},
		{mode: corev1.RecursiveReadOnlyEnabled, features: can, err: "it is not read-only"},
		{mode: corev1.RecursiveReadOnlyIfPossible, readOnly: true, features: can, propagation: &shared, err: `not compatible with propagation "HostToContainer"`},
	} {
		vm := &corev1.VolumeMount{Name: "v", ReadOnly: c.readOnly, MountPropagation: c.propagation}
		if c.mode != "" {
			vm.RecursiveReadOnly = &c.mode
		}
		got, err := RecursiveReadOnly(vm, c.features)
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%+v: %v, %v", c, got, err)
		}
	}
}

func TestUserNamespace(t *testing.T) {
	n := testNode(t)
	var err error
	if n.Users, err = userns.New(n.PodsDir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(n.PodsDir, "u1"), 0o755); err != nil {
		t.Fatal(err)
	}
	no := false
	pod := &corev1.Pod{Spec: corev1.PodSpec{HostUsers: &no, Containers: []corev1.Container{{Name: "main", VolumeMounts: []corev1.VolumeMount{{Name: "v", MountPath: "/v"}}}}}}
	pod.UID = "u1"
	if _, err := n.Sandbox(pod, 0, Features{}); err == nil || !strings.Contains(err.Error(), "runtime does not support user namespaces") {
		t.Errorf("on a runtime without: %v", err)
	}
	can := Features{UserNamespaces: true}
	sandbox, err := n.Sandbox(pod, 0, can)
	if err != nil {
		t.Fatal(err)
	}
	users := sandbox.Linux.SecurityContext.NamespaceOptions.UsernsOptions
	if users.GetMode() != runtimeapi.NamespaceMode_POD || users.Uids[0].HostId != userns.Size || users.Uids[0].Length != userns.Size || users.Gids[0].HostId != userns.Size {
		t.Errorf("the sandbox's users are %v", users)
	}
	cfg, err := n.Container(t.Context(), Request{Pod: pod, Container: &pod.Spec.Containers[0], Image: &runtimeapi.Image{Id: "sha256:1"}, Features: can, Volumes: noVolumes{}})
	if err != nil {
		t.Fatal(err)
	}
	if got := cfg.Linux.SecurityContext.NamespaceOptions.UsernsOptions; got.String() != users.String() {
		t.Errorf("the container's users are %v, its sandbox's %v", got, users)
	}
	if m := cfg.Mounts[0]; len(m.UidMappings) != 1 || m.UidMappings[0].HostId != userns.Size || len(m.GidMappings) != 1 {
		t.Errorf("the volume is not mapped: %v", m)
	}
	pod.Spec.HostUsers = nil
	if sandbox, err = n.Sandbox(pod, 0, can); err != nil || sandbox.Linux.SecurityContext.NamespaceOptions.UsernsOptions != nil {
		t.Errorf("a pod on the node's users: %v, %v", sandbox, err)
	}
}

// imageVolume is a volume that the runtime mounts.
type imageVolume struct{ noVolumes }

func (imageVolume) Volume(*corev1.Pod, string) (Volume, error) {
	return Volume{Image: &runtimeapi.ImageSpec{Image: "data"}, ReadOnly: true}, nil
}

func TestImageVolume(t *testing.T) {
	n := testNode(t)
	pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", VolumeMounts: []corev1.VolumeMount{{Name: "v", MountPath: "/v", SubPath: "etc"}}}}}}
	pod.UID = "u1"
	for want, img := range map[string]*runtimeapi.Image{
		"docker.io/library/data:latest": {Id: "sha256:2", RepoTags: []string{"docker.io/library/data:latest"}},
		"r.local/data@sha256:3":         {Id: "sha256:2", RepoDigests: []string{"r.local/data@sha256:3"}},
		"sha256:2":                      {Id: "sha256:2"},
	} {
		cfg, err := n.Container(t.Context(), Request{
			Pod: pod, Container: &pod.Spec.Containers[0], Image: &runtimeapi.Image{Id: "sha256:1"}, Images: map[string]*runtimeapi.Image{"v": img}, Volumes: imageVolume{},
		})
		if err != nil {
			t.Fatal(err)
		}
		if m := cfg.Mounts[0]; m.GetImage().GetImage() != want || m.HostPath != "" || m.ImageSubPath != "etc" || !m.Readonly {
			t.Errorf("mount %v, want the image %s", m, want)
		}
	}
}
