package fake

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Version implements cri.Runtime.
func (r *Runtime) Version(context.Context, *runtimeapi.VersionRequest) (*runtimeapi.VersionResponse, error) {
	return &runtimeapi.VersionResponse{Version: "0.1.0", RuntimeName: "fake", RuntimeVersion: "v1.0.0", RuntimeApiVersion: "v1"}, nil
}

// Status implements cri.Runtime: it is always ready.
func (r *Runtime) Status(context.Context, *runtimeapi.StatusRequest) (*runtimeapi.StatusResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.begin("Status", ""); err != nil {
		return nil, err
	}
	network := &runtimeapi.RuntimeCondition{Type: runtimeapi.NetworkReady, Status: r.noNetwork == ""}
	if !network.Status {
		network.Reason, network.Message = "NetworkPluginNotReady", r.noNetwork
	}
	return &runtimeapi.StatusResponse{
		Status: &runtimeapi.RuntimeStatus{Conditions: []*runtimeapi.RuntimeCondition{
			{Type: runtimeapi.RuntimeReady, Status: true}, network,
		}},
		RuntimeHandlers: r.opts.Handlers, Features: r.opts.Features,
	}, nil
}

// UpdateRuntimeConfig implements cri.Runtime.
func (r *Runtime) UpdateRuntimeConfig(_ context.Context, req *runtimeapi.UpdateRuntimeConfigRequest) (*runtimeapi.UpdateRuntimeConfigResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.podCIDR = req.GetRuntimeConfig().GetNetworkConfig().GetPodCidr()
	return &runtimeapi.UpdateRuntimeConfigResponse{}, nil
}

// RunPodSandbox implements cri.Runtime.
func (r *Runtime) RunPodSandbox(_ context.Context, req *runtimeapi.RunPodSandboxRequest) (*runtimeapi.RunPodSandboxResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if req.GetConfig().GetMetadata() == nil {
		return nil, status.Error(codes.InvalidArgument, "sandbox config must include metadata")
	}
	s := &sandbox{config: req.Config, handler: req.RuntimeHandler, created: time.Now().UnixNano()}
	if err := r.begin("RunPodSandbox", s.String()); err != nil {
		return nil, err
	}
	for _, other := range r.sandboxes {
		a, b := other.config.Metadata, req.Config.Metadata
		if a.Name == b.Name && a.Namespace == b.Namespace && a.Uid == b.Uid && a.Attempt == b.Attempt {
			return nil, status.Errorf(codes.Unknown, "failed to reserve sandbox name %q", s)
		}
	}
	s.id = r.newID()
	if req.Config.GetLinux().GetSecurityContext().GetNamespaceOptions().GetNetwork() != runtimeapi.NamespaceMode_NODE {
		s.ip = fmt.Sprintf("10.88.%d.%d", r.next/250, r.next%250+2)
	}
	if dir := req.Config.LogDirectory; dir != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, status.Errorf(codes.Unknown, "create log directory: %v", err)
		}
	}
	r.sandboxes[s.id] = s
	r.emit(s, s.id, runtimeapi.ContainerEventType_CONTAINER_CREATED_EVENT)
	r.emit(s, s.id, runtimeapi.ContainerEventType_CONTAINER_STARTED_EVENT)
	return &runtimeapi.RunPodSandboxResponse{PodSandboxId: s.id}, nil
}

// StopPodSandbox implements cri.Runtime. It is idempotent.
func (r *Runtime) StopPodSandbox(_ context.Context, req *runtimeapi.StopPodSandboxRequest) (*runtimeapi.StopPodSandboxResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.findSandbox(req.PodSandboxId)
	if s == nil {
		return &runtimeapi.StopPodSandboxResponse{}, nil
	}
	if err := r.begin("StopPodSandbox", s.String()); err != nil {
		return nil, err
	}
	r.stopSandboxLocked(s, 137)
	return &runtimeapi.StopPodSandboxResponse{}, nil
}

func (r *Runtime) stopSandboxLocked(s *sandbox, code int32) {
	for _, c := range r.containers {
		if c.sandbox == s.id && c.state == runtimeapi.ContainerState_CONTAINER_RUNNING {
			r.exitLocked(c, code, "", "")
		}
	}
	if s.state == runtimeapi.PodSandboxState_SANDBOX_READY {
		s.state = runtimeapi.PodSandboxState_SANDBOX_NOTREADY
		r.emit(s, s.id, runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT)
	}
}

// RemovePodSandbox implements cri.Runtime. It is idempotent.
func (r *Runtime) RemovePodSandbox(_ context.Context, req *runtimeapi.RemovePodSandboxRequest) (*runtimeapi.RemovePodSandboxResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.findSandbox(req.PodSandboxId)
	if s == nil {
		return &runtimeapi.RemovePodSandboxResponse{}, nil
	}
	if err := r.begin("RemovePodSandbox", s.String()); err != nil {
		return nil, err
	}
	r.stopSandboxLocked(s, 137)
	for id, c := range r.containers {
		if c.sandbox == s.id {
			r.emit(s, id, runtimeapi.ContainerEventType_CONTAINER_DELETED_EVENT)
			delete(r.containers, id)
		}
	}
	delete(r.sandboxes, s.id)
	r.emit(s, s.id, runtimeapi.ContainerEventType_CONTAINER_DELETED_EVENT)
	return &runtimeapi.RemovePodSandboxResponse{}, nil
}

// PodSandboxStatus implements cri.Runtime.
func (r *Runtime) PodSandboxStatus(_ context.Context, req *runtimeapi.PodSandboxStatusRequest) (*runtimeapi.PodSandboxStatusResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.findSandbox(req.PodSandboxId)
	if s == nil {
		return nil, status.Errorf(codes.NotFound, "an error occurred when try to find sandbox %q: not found", req.PodSandboxId)
	}
	return &runtimeapi.PodSandboxStatusResponse{Status: s.status()}, nil
}

func (s *sandbox) status() *runtimeapi.PodSandboxStatus {
	return &runtimeapi.PodSandboxStatus{
		Id: s.id, Metadata: s.config.Metadata, State: s.state, CreatedAt: s.created,
		Network: &runtimeapi.PodSandboxNetworkStatus{Ip: s.ip},
		Linux: &runtimeapi.LinuxPodSandboxStatus{Namespaces: &runtimeapi.Namespace{
			Options: s.config.GetLinux().GetSecurityContext().GetNamespaceOptions(),
		}},
		Labels: s.config.Labels, Annotations: s.config.Annotations, RuntimeHandler: s.handler,
	}
}

// ListPodSandbox implements cri.Runtime.
func (r *Runtime) ListPodSandbox(_ context.Context, req *runtimeapi.ListPodSandboxRequest) (*runtimeapi.ListPodSandboxResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.begin("ListPodSandbox", ""); err != nil {
		return nil, err
	}
	f := req.GetFilter()
	resp := &runtimeapi.ListPodSandboxResponse{}
	for _, s := range r.sandboxes {
		if f.GetId() != "" && !strings.HasPrefix(s.id, f.GetId()) || f.GetState() != nil && f.GetState().State != s.state || !match(s.config.Labels, f.GetLabelSelector()) {
			continue
		}
		resp.Items = append(resp.Items, &runtimeapi.PodSandbox{
			Id: s.id, Metadata: s.config.Metadata, State: s.state, CreatedAt: s.created,
			Labels: s.config.Labels, Annotations: s.config.Annotations, RuntimeHandler: s.handler,
		})
	}
	return resp, nil
}

// findSandbox accepts a unique prefix of an id, as runtimes do.
func (r *Runtime) findSandbox(id string) *sandbox {
	return findByPrefix(r.sandboxes, id)
}

func findByPrefix[T any](m map[string]*T, id string) *T {
	if v := m[id]; v != nil {
		return v
	}
	if id == "" {
		return nil
	}
	var found *T
	for k, v := range m {
		if strings.HasPrefix(k, id) {
			if found != nil {
				return nil
			}
			found = v
		}
	}
	return found
}
