package fake

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const (
	created = runtimeapi.ContainerState_CONTAINER_CREATED
	running = runtimeapi.ContainerState_CONTAINER_RUNNING
	exited  = runtimeapi.ContainerState_CONTAINER_EXITED
)

// CreateContainer implements cri.Runtime.
func (r *Runtime) CreateContainer(_ context.Context, req *runtimeapi.CreateContainerRequest) (*runtimeapi.CreateContainerResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.findSandbox(req.PodSandboxId)
	if s == nil {
		return nil, status.Errorf(codes.NotFound, "failed to find sandbox id %q: not found", req.PodSandboxId)
	}
	if s.state != runtimeapi.PodSandboxState_SANDBOX_READY {
		return nil, status.Errorf(codes.Unknown, "sandbox %q is not running", req.PodSandboxId)
	}
	cfg := req.GetConfig()
	if cfg.GetMetadata() == nil {
		return nil, status.Error(codes.InvalidArgument, "container config must include metadata")
	}
	c := &container{sandbox: s.id, config: cfg, created: time.Now().UnixNano(), resources: cfg.GetLinux().GetResources()}
	if err := r.begin("CreateContainer", r.subject(c)); err != nil {
		return nil, err
	}
	img := r.findImage(cfg.GetImage().GetImage())
	if img == nil {
		return nil, status.Errorf(codes.NotFound, "failed to resolve image %q: not found", cfg.GetImage().GetImage())
	}
	for _, other := range r.containers {
		if other.sandbox == s.id && other.config.Metadata.Name == cfg.Metadata.Name && other.config.Metadata.Attempt == cfg.Metadata.Attempt {
			return nil, status.Errorf(codes.Unknown, "failed to reserve container name %q", cfg.Metadata.Name)
		}
	}
	c.id, c.imageID = r.newID(), img.Id
	if cfg.LogPath != "" && req.GetSandboxConfig().GetLogDirectory() != "" {
		c.logPath = filepath.Join(req.SandboxConfig.LogDirectory, cfg.LogPath)
		if err := os.MkdirAll(filepath.Dir(c.logPath), 0o755); err != nil {
			return nil, status.Errorf(codes.Unknown, "create log directory: %v", err)
		}
	}
	r.containers[c.id] = c
	r.emit(s, c.id, runtimeapi.ContainerEventType_CONTAINER_CREATED_EVENT)
	return &runtimeapi.CreateContainerResponse{ContainerId: c.id}, nil
}

// StartContainer implements cri.Runtime. A command that names no program of the
// fake's ends the container with code 128 and reason StartError, as runtimes do
// for a missing executable.
func (r *Runtime) StartContainer(_ context.Context, req *runtimeapi.StartContainerRequest) (*runtimeapi.StartContainerResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := findByPrefix(r.containers, req.ContainerId)
	if c == nil {
		return nil, status.Errorf(codes.NotFound, "an error occurred when try to find container %q: not found", req.ContainerId)
	}
	if err := r.begin("StartContainer", r.subject(c)); err != nil {
		return nil, err
	}
	if c.state != created {
		return nil, status.Errorf(codes.Unknown, "container %q is in %s state", c.id, c.state)
	}
	if err := openLog(c.logPath); err != nil {
		return nil, err
	}
	c.started = time.Now().UnixNano()
	argv := append(append([]string{}, c.config.Command...), c.config.Args...)
	steps, err := parse(argv)
	if err != nil {
		err = status.Errorf(codes.Unknown, "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: %v", err)
		r.exitLocked(c, 128, "StartError", status.Convert(err).Message())
		return nil, err
	}
	c.state = running
	c.proc = newProcess(steps)
	r.emit(r.sandboxes[c.sandbox], c.id, runtimeapi.ContainerEventType_CONTAINER_STARTED_EVENT)
	proc := c.proc
	r.processes.Go(func() { r.run(c, proc) })
	return &runtimeapi.StartContainerResponse{}, nil
}

// run plays a container's script and ends it.
func (r *Runtime) run(c *container, p *process) {
	out := &logWriter{path: c.logPath}
	code := p.play(out, c)
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.state == running {
		r.exitLocked(c, code, "", "")
	}
}

func (r *Runtime) exitLocked(c *container, code int32, reason, message string) {
	c.state, c.exitCode, c.finished, c.message = exited, code, time.Now().UnixNano(), message
	switch {
	case reason != "":
		c.reason = reason
	case code == 0:
		c.reason = "Completed"
	default:
		c.reason = "Error"
	}
	if c.proc != nil {
		c.proc.end()
	}
	r.emit(r.sandboxes[c.sandbox], c.id, runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT)
}

// StopContainer implements cri.Runtime: TERM, then KILL after the timeout.
func (r *Runtime) StopContainer(ctx context.Context, req *runtimeapi.StopContainerRequest) (*runtimeapi.StopContainerResponse, error) {
	r.mu.Lock()
	c := findByPrefix(r.containers, req.ContainerId)
	if c == nil {
		r.mu.Unlock()
		return &runtimeapi.StopContainerResponse{}, nil
	}
	err := r.begin("StopContainer", r.subject(c))
	state, p := c.state, c.proc
	r.mu.Unlock()
	if err != nil || state != running {
		return &runtimeapi.StopContainerResponse{}, err
	}
	if req.Timeout > 0 {
		p.terminate()
		select {
		case <-p.done:
		case <-time.After(time.Duration(req.Timeout) * time.Second):
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.state == running {
		r.exitLocked(c, 137, "", "")
	}
	return &runtimeapi.StopContainerResponse{}, nil
}

// RemoveContainer implements cri.Runtime; a running one is killed.
func (r *Runtime) RemoveContainer(_ context.Context, req *runtimeapi.RemoveContainerRequest) (*runtimeapi.RemoveContainerResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := findByPrefix(r.containers, req.ContainerId)
	if c == nil {
		return &runtimeapi.RemoveContainerResponse{}, nil
	}
	if err := r.begin("RemoveContainer", r.subject(c)); err != nil {
		return nil, err
	}
	if c.state == running {
		r.exitLocked(c, 137, "", "")
	}
	delete(r.containers, c.id)
	r.emit(r.sandboxes[c.sandbox], c.id, runtimeapi.ContainerEventType_CONTAINER_DELETED_EVENT)
	return &runtimeapi.RemoveContainerResponse{}, nil
}

// ContainerStatus implements cri.Runtime.
func (r *Runtime) ContainerStatus(_ context.Context, req *runtimeapi.ContainerStatusRequest) (*runtimeapi.ContainerStatusResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := findByPrefix(r.containers, req.ContainerId)
	if c == nil {
		return nil, status.Errorf(codes.NotFound, "an error occurred when try to find container %q: not found", req.ContainerId)
	}
	return &runtimeapi.ContainerStatusResponse{Status: c.status()}, nil
}

func (c *container) status() *runtimeapi.ContainerStatus {
	return &runtimeapi.ContainerStatus{
		Id: c.id, Metadata: c.config.Metadata, State: c.state,
		CreatedAt: c.created, StartedAt: c.started, FinishedAt: c.finished,
		ExitCode: c.exitCode, Reason: c.reason, Message: c.message,
		Image: c.config.Image, ImageRef: c.imageID, ImageId: c.imageID,
		Labels: c.config.Labels, Annotations: c.config.Annotations,
		Mounts: c.config.Mounts, LogPath: c.logPath,
		Resources: &runtimeapi.ContainerResources{Linux: c.resources},
	}
}

// ListContainers implements cri.Runtime.
func (r *Runtime) ListContainers(_ context.Context, req *runtimeapi.ListContainersRequest) (*runtimeapi.ListContainersResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.begin("ListContainers", ""); err != nil {
		return nil, err
	}
	f := req.GetFilter()
	resp := &runtimeapi.ListContainersResponse{}
	for _, c := range r.containers {
		if f.GetId() != "" && f.GetId() != c.id || f.GetPodSandboxId() != "" && f.GetPodSandboxId() != c.sandbox ||
			f.GetState() != nil && f.GetState().State != c.state || !match(c.config.Labels, f.GetLabelSelector()) {
			continue
		}
		resp.Containers = append(resp.Containers, &runtimeapi.Container{
			Id: c.id, PodSandboxId: c.sandbox, Metadata: c.config.Metadata, Image: c.config.Image, ImageRef: c.imageID, ImageId: c.imageID,
			State: c.state, CreatedAt: c.created, Labels: c.config.Labels, Annotations: c.config.Annotations,
		})
	}
	return resp, nil
}

// UpdateContainerResources implements cri.Runtime.
func (r *Runtime) UpdateContainerResources(_ context.Context, req *runtimeapi.UpdateContainerResourcesRequest) (*runtimeapi.UpdateContainerResourcesResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := findByPrefix(r.containers, req.ContainerId)
	if c == nil {
		return nil, status.Errorf(codes.NotFound, "an error occurred when try to find container %q: not found", req.ContainerId)
	}
	c.resources = req.Linux
	return &runtimeapi.UpdateContainerResourcesResponse{}, nil
}

// ReopenContainerLog implements cri.Runtime: output goes to the path anew.
func (r *Runtime) ReopenContainerLog(_ context.Context, req *runtimeapi.ReopenContainerLogRequest) (*runtimeapi.ReopenContainerLogResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := findByPrefix(r.containers, req.ContainerId)
	if c == nil {
		return nil, status.Errorf(codes.NotFound, "an error occurred when try to find container %q: not found", req.ContainerId)
	}
	if c.state != running {
		return nil, status.Error(codes.Unknown, "container is not running")
	}
	if err := r.begin("ReopenContainerLog", r.subject(c)); err != nil {
		return nil, err
	}
	return &runtimeapi.ReopenContainerLogResponse{}, openLog(c.logPath)
}

// openLog makes the log, which is there from a container's start.
func openLog(path string) error {
	if path == "" {
		return nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return status.Errorf(codes.Unknown, "open log: %v", err)
	}
	return f.Close()
}
