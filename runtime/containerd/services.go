package containerd

import (
	"context"
	"strings"

	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs/pkg/errgrpc"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"skiff/runtime/cri"
)

var (
	_ cri.Runtime = (*runtimeService)(nil)
	_ cri.Images  = (*imageService)(nil)
)

// call does what containerd's gRPC interceptors do for a request from outside:
// set the namespace, and turn its errors into gRPC statuses.
func call[Q, R any](ctx context.Context, req *Q, f func(context.Context, *Q) (*R, error)) (*R, error) {
	resp, err := f(namespaces.WithNamespace(ctx, namespace), req)
	return resp, errgrpc.ToGRPC(err)
}

type runtimeService struct{ d *Daemon }

// Events implements cri.Runtime.
func (s *runtimeService) Events(ctx context.Context, subscribed func(), handle func(*runtimeapi.ContainerEventResponse)) error {
	return s.d.events.subscribe(ctx, subscribed, handle)
}

func (s *runtimeService) Version(ctx context.Context, req *runtimeapi.VersionRequest) (*runtimeapi.VersionResponse, error) {
	resp, err := call(ctx, req, s.d.bridge.cri.Version)
	if resp != nil {
		// What containerd says of itself where no linker flag told it otherwise.
		resp.RuntimeVersion = strings.TrimSuffix(resp.RuntimeVersion, "+unknown")
	}
	return resp, err
}

func (s *runtimeService) Status(ctx context.Context, req *runtimeapi.StatusRequest) (*runtimeapi.StatusResponse, error) {
	resp, err := call(ctx, req, s.d.bridge.cri.Status)
	if err == nil {
		explainNetwork(resp.Status, s.d.cfg.CNIConfDir, s.d.cfg.CNIBinDirs)
	}
	return resp, err
}

func (s *runtimeService) UpdateRuntimeConfig(ctx context.Context, req *runtimeapi.UpdateRuntimeConfigRequest) (*runtimeapi.UpdateRuntimeConfigResponse, error) {
	return call(ctx, req, s.d.bridge.cri.UpdateRuntimeConfig)
}

func (s *runtimeService) RunPodSandbox(ctx context.Context, req *runtimeapi.RunPodSandboxRequest) (*runtimeapi.RunPodSandboxResponse, error) {
	if err := s.d.pause.wait(ctx); err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	return call(ctx, req, s.d.bridge.cri.RunPodSandbox)
}

func (s *runtimeService) StopPodSandbox(ctx context.Context, req *runtimeapi.StopPodSandboxRequest) (*runtimeapi.StopPodSandboxResponse, error) {
	return call(ctx, req, s.d.bridge.cri.StopPodSandbox)
}

func (s *runtimeService) RemovePodSandbox(ctx context.Context, req *runtimeapi.RemovePodSandboxRequest) (*runtimeapi.RemovePodSandboxResponse, error) {
	return call(ctx, req, s.d.bridge.cri.RemovePodSandbox)
}

func (s *runtimeService) PodSandboxStatus(ctx context.Context, req *runtimeapi.PodSandboxStatusRequest) (*runtimeapi.PodSandboxStatusResponse, error) {
	return call(ctx, req, s.d.bridge.cri.PodSandboxStatus)
}

func (s *runtimeService) ListPodSandbox(ctx context.Context, req *runtimeapi.ListPodSandboxRequest) (*runtimeapi.ListPodSandboxResponse, error) {
	return call(ctx, req, s.d.bridge.cri.ListPodSandbox)
}

func (s *runtimeService) CreateContainer(ctx context.Context, req *runtimeapi.CreateContainerRequest) (*runtimeapi.CreateContainerResponse, error) {
	return call(ctx, req, s.d.bridge.cri.CreateContainer)
}

func (s *runtimeService) StartContainer(ctx context.Context, req *runtimeapi.StartContainerRequest) (*runtimeapi.StartContainerResponse, error) {
	return call(ctx, req, s.d.bridge.cri.StartContainer)
}

func (s *runtimeService) StopContainer(ctx context.Context, req *runtimeapi.StopContainerRequest) (*runtimeapi.StopContainerResponse, error) {
	return call(ctx, req, s.d.bridge.cri.StopContainer)
}

func (s *runtimeService) RemoveContainer(ctx context.Context, req *runtimeapi.RemoveContainerRequest) (*runtimeapi.RemoveContainerResponse, error) {
	return call(ctx, req, s.d.bridge.cri.RemoveContainer)
}

func (s *runtimeService) ContainerStatus(ctx context.Context, req *runtimeapi.ContainerStatusRequest) (*runtimeapi.ContainerStatusResponse, error) {
	resp, err := call(ctx, req, s.d.bridge.cri.ContainerStatus)
	if st := resp.GetStatus(); st.GetFinishedAt() != 0 && st.StartedAt > st.FinishedAt {
		// containerd takes the time of the start when its call returns, by
		// when a short program has ended.
		st.StartedAt = st.FinishedAt
	}
	return resp, err
}

func (s *runtimeService) ListContainers(ctx context.Context, req *runtimeapi.ListContainersRequest) (*runtimeapi.ListContainersResponse, error) {
	return call(ctx, req, s.d.bridge.cri.ListContainers)
}

func (s *runtimeService) UpdateContainerResources(ctx context.Context, req *runtimeapi.UpdateContainerResourcesRequest) (*runtimeapi.UpdateContainerResourcesResponse, error) {
	return call(ctx, req, s.d.bridge.cri.UpdateContainerResources)
}

func (s *runtimeService) ReopenContainerLog(ctx context.Context, req *runtimeapi.ReopenContainerLogRequest) (*runtimeapi.ReopenContainerLogResponse, error) {
	return call(ctx, req, s.d.bridge.cri.ReopenContainerLog)
}

func (s *runtimeService) ExecSync(ctx context.Context, req *runtimeapi.ExecSyncRequest) (*runtimeapi.ExecSyncResponse, error) {
	return call(ctx, req, s.d.bridge.cri.ExecSync)
}

func (s *runtimeService) Exec(ctx context.Context, req *runtimeapi.ExecRequest) (*runtimeapi.ExecResponse, error) {
	return call(ctx, req, s.d.bridge.cri.Exec)
}

func (s *runtimeService) Attach(ctx context.Context, req *runtimeapi.AttachRequest) (*runtimeapi.AttachResponse, error) {
	return call(ctx, req, s.d.bridge.cri.Attach)
}

func (s *runtimeService) PortForward(ctx context.Context, req *runtimeapi.PortForwardRequest) (*runtimeapi.PortForwardResponse, error) {
	return call(ctx, req, s.d.bridge.cri.PortForward)
}

func (s *runtimeService) ListContainerStats(ctx context.Context, req *runtimeapi.ListContainerStatsRequest) (*runtimeapi.ListContainerStatsResponse, error) {
	return call(ctx, req, s.d.bridge.cri.ListContainerStats)
}

func (s *runtimeService) ListPodSandboxStats(ctx context.Context, req *runtimeapi.ListPodSandboxStatsRequest) (*runtimeapi.ListPodSandboxStatsResponse, error) {
	return call(ctx, req, s.d.bridge.cri.ListPodSandboxStats)
}

type imageService struct{ d *Daemon }

func (s *imageService) ListImages(ctx context.Context, req *runtimeapi.ListImagesRequest) (*runtimeapi.ListImagesResponse, error) {
	return call(ctx, req, s.d.bridge.cri.ListImages)
}

func (s *imageService) ImageStatus(ctx context.Context, req *runtimeapi.ImageStatusRequest) (*runtimeapi.ImageStatusResponse, error) {
	return call(ctx, req, s.d.bridge.cri.ImageStatus)
}

func (s *imageService) PullImage(ctx context.Context, req *runtimeapi.PullImageRequest) (*runtimeapi.PullImageResponse, error) {
	return call(ctx, req, s.d.bridge.cri.PullImage)
}

func (s *imageService) RemoveImage(ctx context.Context, req *runtimeapi.RemoveImageRequest) (*runtimeapi.RemoveImageResponse, error) {
	return call(ctx, req, s.d.bridge.cri.RemoveImage)
}

func (s *imageService) ImageFsInfo(ctx context.Context, req *runtimeapi.ImageFsInfoRequest) (*runtimeapi.ImageFsInfoResponse, error) {
	return call(ctx, req, s.d.bridge.cri.ImageFsInfo)
}
