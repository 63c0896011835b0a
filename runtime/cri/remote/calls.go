package remote

import (
	"context"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// The calls below are those of package cri, passed on.

// Version implements cri.Runtime.
func (c *Client) Version(ctx context.Context, req *runtimeapi.VersionRequest) (*runtimeapi.VersionResponse, error) {
	return c.runtime.Version(ctx, req)
}

// Status implements cri.Runtime.
func (c *Client) Status(ctx context.Context, req *runtimeapi.StatusRequest) (*runtimeapi.StatusResponse, error) {
	return c.runtime.Status(ctx, req)
}

// UpdateRuntimeConfig implements cri.Runtime.
func (c *Client) UpdateRuntimeConfig(ctx context.Context, req *runtimeapi.UpdateRuntimeConfigRequest) (*runtimeapi.UpdateRuntimeConfigResponse, error) {
	return c.runtime.UpdateRuntimeConfig(ctx, req)
}

// RunPodSandbox implements cri.Runtime.
func (c *Client) RunPodSandbox(ctx context.Context, req *runtimeapi.RunPodSandboxRequest) (*runtimeapi.RunPodSandboxResponse, error) {
	return c.runtime.RunPodSandbox(ctx, req)
}

// StopPodSandbox implements cri.Runtime.
func (c *Client) StopPodSandbox(ctx context.Context, req *runtimeapi.StopPodSandboxRequest) (*runtimeapi.StopPodSandboxResponse, error) {
	return c.runtime.StopPodSandbox(ctx, req)
}

// RemovePodSandbox implements cri.Runtime.
func (c *Client) RemovePodSandbox(ctx context.Context, req *runtimeapi.RemovePodSandboxRequest) (*runtimeapi.RemovePodSandboxResponse, error) {
	return c.runtime.RemovePodSandbox(ctx, req)
}

// PodSandboxStatus implements cri.Runtime.
func (c *Client) PodSandboxStatus(ctx context.Context, req *runtimeapi.PodSandboxStatusRequest) (*runtimeapi.PodSandboxStatusResponse, error) {
	return c.runtime.PodSandboxStatus(ctx, req)
}

// ListPodSandbox implements cri.Runtime.
func (c *Client) ListPodSandbox(ctx context.Context, req *runtimeapi.ListPodSandboxRequest) (*runtimeapi.ListPodSandboxResponse, error) {
	return c.runtime.ListPodSandbox(ctx, req)
}

// CreateContainer implements cri.Runtime.
func (c *Client) CreateContainer(ctx context.Context, req *runtimeapi.CreateContainerRequest) (*runtimeapi.CreateContainerResponse, error) {
	return c.runtime.CreateContainer(ctx, req)
}

// StartContainer implements cri.Runtime.
func (c *Client) StartContainer(ctx context.Context, req *runtimeapi.StartContainerRequest) (*runtimeapi.StartContainerResponse, error) {
	return c.runtime.StartContainer(ctx, req)
}

// StopContainer implements cri.Runtime.
func (c *Client) StopContainer(ctx context.Context, req *runtimeapi.StopContainerRequest) (*runtimeapi.StopContainerResponse, error) {
	return c.runtime.StopContainer(ctx, req)
}

// RemoveContainer implements cri.Runtime.
func (c *Client) RemoveContainer(ctx context.Context, req *runtimeapi.RemoveContainerRequest) (*runtimeapi.RemoveContainerResponse, error) {
	return c.runtime.RemoveContainer(ctx, req)
}

// ContainerStatus implements cri.Runtime.
func (c *Client) ContainerStatus(ctx context.Context, req *runtimeapi.ContainerStatusRequest) (*runtimeapi.ContainerStatusResponse, error) {
	return c.runtime.ContainerStatus(ctx, req)
}

// ListContainers implements cri.Runtime.
func (c *Client) ListContainers(ctx context.Context, req *runtimeapi.ListContainersRequest) (*runtimeapi.ListContainersResponse, error) {
	return c.runtime.ListContainers(ctx, req)
}

// UpdateContainerResources implements cri.Runtime.
func (c *Client) UpdateContainerResources(ctx context.Context, req *runtimeapi.UpdateContainerResourcesRequest) (*runtimeapi.UpdateContainerResourcesResponse, error) {
	return c.runtime.UpdateContainerResources(ctx, req)
}

// ReopenContainerLog implements cri.Runtime.
func (c *Client) ReopenContainerLog(ctx context.Context, req *runtimeapi.ReopenContainerLogRequest) (*runtimeapi.ReopenContainerLogResponse, error) {
	return c.runtime.ReopenContainerLog(ctx, req)
}

// ExecSync implements cri.Runtime.
func (c *Client) ExecSync(ctx context.Context, req *runtimeapi.ExecSyncRequest) (*runtimeapi.ExecSyncResponse, error) {
	return c.runtime.ExecSync(ctx, req)
}

// Exec implements cri.Runtime.
func (c *Client) Exec(ctx context.Context, req *runtimeapi.ExecRequest) (*runtimeapi.ExecResponse, error) {
	return c.runtime.Exec(ctx, req)
}

// Attach implements cri.Runtime.
func (c *Client) Attach(ctx context.Context, req *runtimeapi.AttachRequest) (*runtimeapi.AttachResponse, error) {
	return c.runtime.Attach(ctx, req)
}

// PortForward implements cri.Runtime.
func (c *Client) PortForward(ctx context.Context, req *runtimeapi.PortForwardRequest) (*runtimeapi.PortForwardResponse, error) {
	return c.runtime.PortForward(ctx, req)
}

// ListContainerStats implements cri.Runtime.
func (c *Client) ListContainerStats(ctx context.Context, req *runtimeapi.ListContainerStatsRequest) (*runtimeapi.ListContainerStatsResponse, error) {
	return c.runtime.ListContainerStats(ctx, req)
}

// ListPodSandboxStats implements cri.Runtime.
func (c *Client) ListPodSandboxStats(ctx context.Context, req *runtimeapi.ListPodSandboxStatsRequest) (*runtimeapi.ListPodSandboxStatsResponse, error) {
	return c.runtime.ListPodSandboxStats(ctx, req)
}

// ListImages implements cri.Images.
func (c *Client) ListImages(ctx context.Context, req *runtimeapi.ListImagesRequest) (*runtimeapi.ListImagesResponse, error) {
	return c.images.ListImages(ctx, req)
}

// ImageStatus implements cri.Images.
func (c *Client) ImageStatus(ctx context.Context, req *runtimeapi.ImageStatusRequest) (*runtimeapi.ImageStatusResponse, error) {
	return c.images.ImageStatus(ctx, req)
}

// PullImage implements cri.Images.
func (c *Client) PullImage(ctx context.Context, req *runtimeapi.PullImageRequest) (*runtimeapi.PullImageResponse, error) {
	return c.images.PullImage(ctx, req)
}

// RemoveImage implements cri.Images.
func (c *Client) RemoveImage(ctx context.Context, req *runtimeapi.RemoveImageRequest) (*runtimeapi.RemoveImageResponse, error) {
	return c.images.RemoveImage(ctx, req)
}

// ImageFsInfo implements cri.Images.
func (c *Client) ImageFsInfo(ctx context.Context, req *runtimeapi.ImageFsInfoRequest) (*runtimeapi.ImageFsInfoResponse, error) {
	return c.images.ImageFsInfo(ctx, req)
}
