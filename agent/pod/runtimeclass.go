package pod

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/client-go/kubernetes"

	"skiff/agent/container"
)

// RuntimeClasses reads the classes that pods name.
type RuntimeClasses interface {
	RuntimeClass(ctx context.Context, name string) (*nodev1.RuntimeClass, error)
}

// ClientRuntimeClasses asks the API server.
func ClientRuntimeClasses(client kubernetes.Interface) RuntimeClasses { return clientClasses{client} }

type clientClasses struct{ client kubernetes.Interface }

func (c clientClasses) RuntimeClass(ctx context.Context, name string) (*nodev1.RuntimeClass, error) {
	return c.client.NodeV1().RuntimeClasses().Get(ctx, name, getOptions)
}

// handler is what runs a pod: a runtime handler's name, "" for the default one,
// and what it can do.
type handler struct {
	name     string
	features container.Features
}

// runtimeHandler asks for the handler of the pod's runtime class.
func (m *Manager) runtimeHandler(ctx context.Context, pod *corev1.Pod) (handler, error) {
	var h handler
	if name := pod.Spec.RuntimeClassName; name != nil && *name != "" {
		class, err := m.cfg.RuntimeClasses.RuntimeClass(ctx, *name)
		if err != nil {
			return h, err
		}
		h.name = class.Handler
	}
	h.features = m.features(h.name)
	return h, nil
}

func (m *Manager) features(handler string) container.Features {
	if m.cfg.Features == nil {
		return container.Features{}
	}
	return m.cfg.Features(handler)
}
