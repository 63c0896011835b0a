package metered

import (
	"context"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"skiff/runtime/cri"
)

// Runtime returns a runtime whose operations are counted. Following its events is
// no operation.
func (m *Meter) Runtime(r cri.Runtime) cri.Runtime { return runtime{r, m} }

// Images returns an image service whose operations are counted.
func (m *Meter) Images(i cri.Images) cri.Images { return images{i, m} }

type runtime struct {
	cri.Runtime
	m *Meter
}

func (x runtime) Version(ctx context.Context, q *runtimeapi.VersionRequest) (*runtimeapi.VersionResponse, error) {
	return measure(x.m, "version", x.Runtime.Version, ctx, q)
}

func (x runtime) Status(ctx context.Context, q *runtimeapi.StatusRequest) (*runtimeapi.StatusResponse, error) {
	return measure(x.m, "status", x.Runtime.Status, ctx, q)
}

func (x runtime) UpdateRuntimeConfig(ctx context.Context, q *runtimeapi.UpdateRuntimeConfigRequest) (*runtimeapi.UpdateRuntimeConfigResponse, error) {
	return measure(x.m, "update_runtime_config", x.Runtime.UpdateRuntimeConfig, ctx, q)
}

func (x runtime) RunPodSandbox(ctx context.Context, q *runtimeapi.RunPodSandboxRequest) (*runtimeapi.RunPodSandboxResponse, error) {
	return measure(x.m, "run_podsandbox", x.Runtime.RunPodSandbox, ctx, q)
}

func (x runtime) StopPodSandbox(ctx context.Context, q *runtimeapi.StopPodSandboxRequest) (*runtimeapi.StopPodSandboxResponse, error) {
	return measure(x.m, "stop_podsandbox", x.Runtime.StopPodSandbox, ctx, q)
}

func (x runtime) RemovePodSandbox(ctx context.Context, q *runtimeapi.RemovePodSandboxRequest) (*runtimeapi.RemovePodSandboxResponse, error) {
	return measure(x.m, "remove_podsandbox", x.Runtime.RemovePodSandbox, ctx, q)
}

func (x runtime) PodSandboxStatus(ctx context.Context, q *runtimeapi.PodSandboxStatusRequest) (*runtimeapi.PodSandboxStatusResponse, error) {
	return measure(x.m, "podsandbox_status", x.Runtime.PodSandboxStatus, ctx, q)
}

func (x runtime) ListPodSandbox(ctx context.Context, q *runtimeapi.ListPodSandboxRequest) (*runtimeapi.ListPodSandboxResponse, error) {
	return measure(x.m, "list_podsandbox", x.Runtime.ListPodSandbox, ctx, q)
}

func (x runtime) CreateContainer(ctx context.Context, q *runtimeapi.CreateContainerRequest) (*runtimeapi.CreateContainerResponse, error) {
	return measure(x.m, "create_container", x.Runtime.CreateContainer, ctx, q)
}

func (x runtime) StartContainer(ctx context.Context, q *runtimeapi.StartContainerRequest) (*runtimeapi.StartContainerResponse, error) {
	return measure(x.m, "start_container", x.Runtime.StartContainer, ctx, q)
}

func (x runtime) StopContainer(ctx context.Context, q *runtimeapi.StopContainerRequest) (*runtimeapi.StopContainerResponse, error) {
	return measure(x.m, "stop_container", x.Runtime.StopContainer, ctx, q)
}

func (x runtime) RemoveContainer(ctx context.Context, q *runtimeapi.RemoveContainerRequest) (*runtimeapi.RemoveContainerResponse, error) {
	return measure(x.m, "remove_container", x.Runtime.RemoveContainer, ctx, q)
}

func (x runtime) ContainerStatus(ctx context.Context, q *runtimeapi.ContainerStatusRequest) (*runtimeapi.ContainerStatusResponse, error) {
	return measure(x.m, "container_status", x.Runtime.ContainerStatus, ctx, q)
}

func (x runtime) ListContainers(ctx context.Context, q *runtimeapi.ListContainersRequest) (*runtimeapi.ListContainersResponse, error) {
	return measure(x.m, "list_containers", x.Runtime.ListContainers, ctx, q)
}

func (x runtime) UpdateContainerResources(ctx context.Context, q *runtimeapi.UpdateContainerResourcesRequest) (*runtimeapi.UpdateContainerResourcesResponse, error) {
	return measure(x.m, "update_container", x.Runtime.UpdateContainerResources, ctx, q)
}

func (x runtime) ReopenContainerLog(ctx context.Context, q *runtimeapi.ReopenContainerLogRequest) (*runtimeapi.ReopenContainerLogResponse, error) {
	return measure(x.m, "reopen_container_log", x.Runtime.ReopenContainerLog, ctx, q)
}

func (x runtime) ExecSync(ctx context.Context, q *runtimeapi.ExecSyncRequest) (*runtimeapi.ExecSyncResponse, error) {
	return measure(x.m, "exec_sync", x.Runtime.ExecSync, ctx, q)
}

func (x runtime) Exec(ctx context.Context, q *runtimeapi.ExecRequest) (*runtimeapi.ExecResponse, error) {
	return measure(x.m, "exec", x.Runtime.Exec, ctx, q)
}

func (x runtime) Attach(ctx context.Context, q *runtimeapi.AttachRequest) (*runtimeapi.AttachResponse, error) {
	return measure(x.m, "attach", x.Runtime.Attach, ctx, q)
}

func (x runtime) PortForward(ctx context.Context, q *runtimeapi.PortForwardRequest) (*runtimeapi.PortForwardResponse, error) {
	return measure(x.m, "port_forward", x.Runtime.PortForward, ctx, q)
}

func (x runtime) ListContainerStats(ctx context.Context, q *runtimeapi.ListContainerStatsRequest) (*runtimeapi.ListContainerStatsResponse, error) {
	return measure(x.m, "list_container_stats", x.Runtime.ListContainerStats, ctx, q)
}

func (x runtime) ListPodSandboxStats(ctx context.Context, q *runtimeapi.ListPodSandboxStatsRequest) (*runtimeapi.ListPodSandboxStatsResponse, error) {
	return measure(x.m, "list_podsandbox_stats", x.Runtime.ListPodSandboxStats, ctx, q)
}

type images struct {
	cri.Images
	m *Meter
}

func (x images) ListImages(ctx context.Context, q *runtimeapi.ListImagesRequest) (*runtimeapi.ListImagesResponse, error) {
	return measure(x.m, "list_images", x.Images.ListImages, ctx, q)
}

func (x images) ImageStatus(ctx context.Context, q *runtimeapi.ImageStatusRequest) (*runtimeapi.ImageStatusResponse, error) {
	return measure(x.m, "image_status", x.Images.ImageStatus, ctx, q)
}

func (x images) PullImage(ctx context.Context, q *runtimeapi.PullImageRequest) (*runtimeapi.PullImageResponse, error) {
	return measure(x.m, "pull_image", x.Images.PullImage, ctx, q)
}

func (x images) RemoveImage(ctx context.Context, q *runtimeapi.RemoveImageRequest) (*runtimeapi.RemoveImageResponse, error) {
	return measure(x.m, "remove_image", x.Images.RemoveImage, ctx, q)
}

func (x images) ImageFsInfo(ctx context.Context, q *runtimeapi.ImageFsInfoRequest) (*runtimeapi.ImageFsInfoResponse, error) {
	return measure(x.m, "image_fs_info", x.Images.ImageFsInfo, ctx, q)
}
