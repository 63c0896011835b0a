// Package volume makes the volumes of pods on the node and takes them away:
// emptyDir, hostPath, configMap, secret, downwardAPI, projected and image volumes, and
// persistent volumes that are a directory of the node.
//
// Everything of a pod lies below <pods>/<UID>, in upstream's layout:
//
//	volumes/kubernetes.io~configmap/NAME      a volume
//	volume-subpaths/VOLUME/CONTAINER/INDEX    a bind mount of a subPath
//
// Set is idempotent and also what brings changed config maps, secrets and tokens
// into running pods. Nothing is remembered on disk besides the files themselves:
// after a crash, Set does again what is missing, and Clean removes what belongs
// to no pod.
package volume

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"skiff/agent/container"
	"skiff/agent/objects"
)

// Config makes a Manager.
type Config struct {
	// PodsDir holds a directory per pod UID.
	PodsDir string
	Objects objects.Source
	Tokens  Tokens
	Claims  Claims
	Mounter Mounter
	// NodeName and NodeIPs are the answers to downward API fields.
	Node *container.Node
	Log  *slog.Logger
}

// Manager makes and removes volumes. It is safe for concurrent use; calls about
// one pod must not overlap.
type Manager struct {
	cfg    Config
	tokens tokenCache
}

// New returns a Manager.
func New(cfg Config) *Manager { return &Manager{cfg: cfg} }

// MountError tells why volumes could not be made. Its message is that of the
// FailedMount event.
type MountError struct{ Message string }

func (e *MountError) Error() string { return e.Message }

// Set makes all volumes of the pod that are missing and brings those with config
// up to date. It returns how long the result is good for (until a token must be
// renewed; 0 for ever). podIPs may be empty as long as there are none.
func (m *Manager) Set(ctx context.Context, pod *corev1.Pod, podIPs []string) (time.Duration, error) {
	if err := os.MkdirAll(m.dir(pod.UID), 0o750); err != nil {
		return 0, fmt.Errorf("make the pod's directory: %w", err)
	}
	var good time.Duration
	var errs []error
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		until, err := m.set(ctx, pod, v, podIPs)
		if err != nil {
			errs = append(errs, describe(v, err))
			continue
		}
		if until > 0 && (good == 0 || until < good) {
			good = until
		}
	}
	return good, errors.Join(errs...)
}

func describe(v *corev1.Volume, err error) error {
	var mount *MountError
	if errors.As(err, &mount) {
		return err
	}
	return &MountError{fmt.Sprintf("MountVolume.SetUp failed for volume %q : %v", v.Name, err)}
}

// set makes one volume.
func (m *Manager) set(ctx context.Context, pod *corev1.Pod, v *corev1.Volume, podIPs []string) (time.Duration, error) {
	switch {
	case v.EmptyDir != nil:
		return 0, m.setEmptyDir(pod, v)
	case v.HostPath != nil:
		return 0, checkHostPath(v.HostPath)
	case v.ConfigMap != nil, v.Secret != nil, v.DownwardAPI != nil, v.Projected != nil:
		return m.setConfig(ctx, pod, v, podIPs)
	case v.Image != nil:
		return 0, nil // the runtime mounts it
	case v.PersistentVolumeClaim != nil:
		_, err := m.claimPath(ctx, pod, v, v.PersistentVolumeClaim.ClaimName)
		return 0, err
	case v.Ephemeral != nil:
		_, err := m.claimPath(ctx, pod, v, pod.Name+"-"+v.Name)
		return 0, err
	}
	return 0, unsupported(v)
}

func unsupported(v *corev1.Volume) error {
	return &MountError{fmt.Sprintf("Unable to attach or mount volumes: unmounted volumes=[%s], unattached volumes=[], failed to process volumes=[%s]: failed to get Plugin from volumeSpec for volume %q err=no volume plugin matched", v.Name, v.Name, v.Name)}
}

// Volume implements container.Volumes for volumes that Set has made.
func (m *Manager) Volume(pod *corev1.Pod, name string) (container.Volume, error) {
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if v.Name != name {
			continue
		}
		switch {
		case v.HostPath != nil:
			return container.Volume{Path: v.HostPath.Path}, nil
		case v.EmptyDir != nil:
			return container.Volume{Path: m.path(pod.UID, v)}, nil
		case v.ConfigMap != nil, v.Secret != nil, v.DownwardAPI != nil, v.Projected != nil:
			return container.Volume{Path: m.path(pod.UID, v), ReadOnly: true}, nil
		case v.Image != nil:
			return container.Volume{Image: &runtimeapi.ImageSpec{Image: v.Image.Reference, UserSpecifiedImage: v.Image.Reference}, ReadOnly: true}, nil
		case v.PersistentVolumeClaim != nil:
			path, err := m.claimPath(context.Background(), pod, v, v.PersistentVolumeClaim.ClaimName)
			return container.Volume{Path: path, ReadOnly: v.PersistentVolumeClaim.ReadOnly}, err
		case v.Ephemeral != nil:
			path, err := m.claimPath(context.Background(), pod, v, pod.Name+"-"+v.Name)
			return container.Volume{Path: path}, err
		}
	}
	return container.Volume{}, fmt.Errorf("pod has no volume %q", name)
}

// HasConfig tells whether the pod has volumes whose content can change.
func HasConfig(pod *corev1.Pod) bool {
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if v.ConfigMap != nil || v.Secret != nil || v.DownwardAPI != nil || v.Projected != nil {
			return true
		}
	}
	return false
}

func (m *Manager) dir(uid types.UID) string { return filepath.Join(m.cfg.PodsDir, string(uid)) }

// path is where a volume is, by the name of its kind.
func (m *Manager) path(uid types.UID, v *corev1.Volume) string {
	kind := "empty-dir"
	switch {
	case v.ConfigMap != nil:
		kind = "configmap"
	case v.Secret != nil:
		kind = "secret"
	case v.DownwardAPI != nil:
		kind = "downward-api"
	case v.Projected != nil:
		kind = "projected"
	}
	return filepath.Join(m.dir(uid), "volumes", "kubernetes.io~"+kind, v.Name)
}
