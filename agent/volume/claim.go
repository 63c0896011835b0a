package volume

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// Claims reads what a persistent volume claim is bound to.
type Claims interface {
	Claim(ctx context.Context, namespace, name string) (*corev1.PersistentVolumeClaim, error)
	Volume(ctx context.Context, name string) (*corev1.PersistentVolume, error)
}

// ClientClaims asks the API server.
func ClientClaims(client kubernetes.Interface) Claims { return clientClaims{client} }

type clientClaims struct{ client kubernetes.Interface }

func (c clientClaims) Claim(ctx context.Context, namespace, name string) (*corev1.PersistentVolumeClaim, error) {
	return c.client.CoreV1().PersistentVolumeClaims(namespace).Get(ctx, name, metav1.GetOptions{})
}

func (c clientClaims) Volume(ctx context.Context, name string) (*corev1.PersistentVolume, error) {
	return c.client.CoreV1().PersistentVolumes().Get(ctx, name, metav1.GetOptions{})
}

// claimPath returns the node's directory that a claim is bound to. Claims that
// are not bound, or to something that needs a driver, are an error that the pod
// waits with.
func (m *Manager) claimPath(ctx context.Context, pod *corev1.Pod, v *corev1.Volume, claim string) (string, error) {
	fail := func(err error) error {
		return &MountError{fmt.Sprintf("Unable to attach or mount volumes: unmounted volumes=[%s], unattached volumes=[], failed to process volumes=[%s]: error processing PVC %s/%s: %v", v.Name, v.Name, pod.Namespace, claim, err)}
	}
	pvc, err := m.cfg.Claims.Claim(ctx, pod.Namespace, claim)
	if err != nil {
		return "", fail(fmt.Errorf("failed to fetch PVC from API server: %w", err))
	}
	if pvc.Status.Phase != corev1.ClaimBound || pvc.Spec.VolumeName == "" {
		return "", fail(errors.New("PVC is not bound"))
	}
	pv, err := m.cfg.Claims.Volume(ctx, pvc.Spec.VolumeName)
	if err != nil {
		return "", fail(fmt.Errorf("failed to fetch PV %s from API server: %w", pvc.Spec.VolumeName, err))
	}
	switch {
	case pv.Spec.HostPath != nil:
		return pv.Spec.HostPath.Path, checkHostPath(pv.Spec.HostPath)
	case pv.Spec.Local != nil:
		return pv.Spec.Local.Path, nil
	}
	return "", unsupported(v)
}
