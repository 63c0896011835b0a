package pod

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"skiff/agent/container"
)

const (
	stateCreated = runtimeapi.ContainerState_CONTAINER_CREATED
	stateRunning = runtimeapi.ContainerState_CONTAINER_RUNNING
	stateExited  = runtimeapi.ContainerState_CONTAINER_EXITED
	stateUnknown = runtimeapi.ContainerState_CONTAINER_UNKNOWN
	sandboxReady = runtimeapi.PodSandboxState_SANDBOX_READY
)

// view is what the runtime has of a pod.
type view struct {
	// sandboxes and containers are the newest first.
	sandboxes  []*runtimeapi.PodSandboxStatus
	containers []instance
}

// instance is a container and the sandbox that it is in.
type instance struct {
	*runtimeapi.ContainerStatus
	sandbox string
}

// look lists the pod's sandboxes and containers. Statuses that cannot have
// changed are taken from the view before.
func (v view) look(ctx context.Context, m *Manager, uid string) (view, error) {
	selector := map[string]string{container.LabelPodUID: uid}
	var next view
	sandboxes, err := m.cfg.Runtime.ListPodSandbox(ctx, &runtimeapi.ListPodSandboxRequest{Filter: &runtimeapi.PodSandboxFilter{LabelSelector: selector}})
	if err != nil {
		return v, fmt.Errorf("list sandboxes: %w", err)
	}
	for _, s := range sandboxes.Items {
		status := v.sandbox(s.Id)
		if status == nil || status.State != s.State {
			resp, err := m.cfg.Runtime.PodSandboxStatus(ctx, &runtimeapi.PodSandboxStatusRequest{PodSandboxId: s.Id})
			if isNotFound(err) {
				continue
			}
			if err != nil {
				return v, fmt.Errorf("get status of sandbox %s: %w", s.Id, err)
			}
			status = resp.Status
		}
		next.sandboxes = append(next.sandboxes, status)
	}
	containers, err := m.cfg.Runtime.ListContainers(ctx, &runtimeapi.ListContainersRequest{Filter: &runtimeapi.ContainerFilter{LabelSelector: selector}})
	if err != nil {
		return v, fmt.Errorf("list containers: %w", err)
	}
	for _, c := range containers.Containers {
		i := v.instance(c.Id)
		if i == nil || i.State != c.State {
			resp, err := m.cfg.Runtime.ContainerStatus(ctx, &runtimeapi.ContainerStatusRequest{ContainerId: c.Id})
			if isNotFound(err) {
				continue
			}
			if err != nil {
				return v, fmt.Errorf("get status of container %s: %w", c.Id, err)
			}
			i = &instance{resp.Status, c.PodSandboxId}
		}
		next.containers = append(next.containers, *i)
	}
	slices.SortFunc(next.sandboxes, func(a, b *runtimeapi.PodSandboxStatus) int {
		return cmp.Or(cmp.Compare(b.CreatedAt, a.CreatedAt), cmp.Compare(b.Metadata.GetAttempt(), a.Metadata.GetAttempt()))
	})
	slices.SortFunc(next.containers, func(a, b instance) int {
		return cmp.Or(cmp.Compare(b.CreatedAt, a.CreatedAt), cmp.Compare(b.Metadata.GetAttempt(), a.Metadata.GetAttempt()), cmp.Compare(a.Metadata.GetName(), b.Metadata.GetName()))
	})
	return next, nil
}

func (v view) sandbox(id string) *runtimeapi.PodSandboxStatus {
	for _, s := range v.sandboxes {
		if s.Id == id {
			return s
		}
	}
	return nil
}

func (v view) instance(id string) *instance {
	for i := range v.containers {
		if v.containers[i].Id == id {
			return &v.containers[i]
		}
	}
	return nil
}

// latest is the newest container of that name.
func (v view) latest(name string) *instance {
	for i := range v.containers {
		if v.containers[i].Metadata.GetName() == name {
			return &v.containers[i]
		}
	}
	return nil
}

// latestIn is the newest container of that name in a sandbox.
func (v view) latestIn(sandbox, name string) *instance {
	for i := range v.containers {
		if v.containers[i].sandbox == sandbox && v.containers[i].Metadata.GetName() == name {
			return &v.containers[i]
		}
	}
	return nil
}

// alive are the containers that run, or may.
func (v view) alive() []*instance {
	var out []*instance
	for i := range v.containers {
		if s := v.containers[i].State; s == stateRunning || s == stateUnknown {
			out = append(out, &v.containers[i])
		}
	}
	return out
}

// current is the sandbox in use, "" if a new one is needed; why tells what is
// wrong then.
func (v view) current(pod *corev1.Pod) (id string, attempt uint32, why string) {
	if len(v.sandboxes) == 0 {
		return "", 0, "no pod sandbox exists"
	}
	ready := 0
	for _, s := range v.sandboxes {
		if s.State == sandboxReady {
			ready++
		}
	}
	s := v.sandboxes[0]
	next := s.Metadata.GetAttempt() + 1
	switch {
	case ready > 1:
		return "", next, "multiple pod sandboxes are ready and need to be reconciled"
	case s.State != sandboxReady:
		return "", next, "pod sandbox is not ready"
	case s.GetLinux().GetNamespaces().GetOptions().GetNetwork() != container.NetworkMode(pod):
		return "", next, "network namespace mode changed and sandbox needs to be recreated"
	case !container.HostNetwork(pod) && s.Network != nil && s.Network.Ip == "":
		return "", next, "pod sandbox has no IP address"
	}
	return s.Id, next - 1, ""
}

// ips are the addresses of the newest sandbox while it is ready.
func (v view) ips() []string {
	if len(v.sandboxes) == 0 || v.sandboxes[0].State != sandboxReady {
		return nil
	}
	n := v.sandboxes[0].Network
	if n.GetIp() == "" {
		return nil
	}
	out := []string{n.Ip}
	for _, more := range n.AdditionalIps {
		out = append(out, more.Ip)
	}
	return out
}
