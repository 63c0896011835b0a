package containerd_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"skiff/runtime/containerd"
)

func loopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	return errors.Join(err, netlink.LinkSetUp(lo))
}

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// podConfig is a sandbox as the agent would ask for it.
func (b *box) podConfig(name string, ports ...*runtimeapi.PortMapping) *runtimeapi.PodSandboxConfig {
	return &runtimeapi.PodSandboxConfig{
		Metadata:     &runtimeapi.PodSandboxMetadata{Name: name, Uid: "uid-" + name, Namespace: "default"},
		Hostname:     name,
		LogDirectory: filepath.Join(b.dataDir, "logs", name),
		PortMappings: ports,
		Labels:       map[string]string{"test": name},
		Linux: &runtimeapi.LinuxPodSandboxConfig{
			CgroupParent:    b.in.CgroupParent() + "/pod-" + name,
			SecurityContext: &runtimeapi.LinuxSandboxSecurityContext{NamespaceOptions: &runtimeapi.NamespaceOption{}},
		},
	}
}

// pod is a running sandbox.
type pod struct {
	ID     string
	Config *runtimeapi.PodSandboxConfig
}

func (b *box) runPod(t testing.TB, d *containerd.Daemon, conf *runtimeapi.PodSandboxConfig) pod {
	t.Helper()
	if err := os.MkdirAll(conf.LogDirectory, 0o755); err != nil {
		t.Fatal(err)
	}
	resp, err := d.Runtime().RunPodSandbox(testContext(t), &runtimeapi.RunPodSandboxRequest{Config: conf})
	if err != nil {
		t.Fatal(err)
	}
	return pod{resp.PodSandboxId, conf}
}

// start creates and starts a container of the busybox image.
func (p pod) start(t testing.TB, d *containerd.Daemon, name string, mounts []*runtimeapi.Mount, command ...string) string {
	t.Helper()
	ctx := testContext(t)
	created, err := d.Runtime().CreateContainer(ctx, &runtimeapi.CreateContainerRequest{
		PodSandboxId: p.ID,
		Config: &runtimeapi.ContainerConfig{
			Metadata: &runtimeapi.ContainerMetadata{Name: name},
			Image:    &runtimeapi.ImageSpec{Image: busyboxImage},
			Command:  command,
			LogPath:  name + ".log",
			Mounts:   mounts,
			Linux:    &runtimeapi.LinuxContainerConfig{Resources: &runtimeapi.LinuxContainerResources{OomScoreAdj: 1000, CpuShares: 128}},
		},
		SandboxConfig: p.Config,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Runtime().StartContainer(ctx, &runtimeapi.StartContainerRequest{ContainerId: created.ContainerId}); err != nil {
		t.Fatal(err)
	}
	return created.ContainerId
}

func status(t testing.TB, d *containerd.Daemon, id string) *runtimeapi.ContainerStatus {
	t.Helper()
	resp, err := d.Runtime().ContainerStatus(testContext(t), &runtimeapi.ContainerStatusRequest{ContainerId: id})
	if err != nil {
		t.Fatal(err)
	}
	return resp.Status
}

func podIP(t testing.TB, d *containerd.Daemon, id string) string {
	t.Helper()
	resp, err := d.Runtime().PodSandboxStatus(testContext(t), &runtimeapi.PodSandboxStatusRequest{PodSandboxId: id})
	if err != nil {
		t.Fatal(err)
	}
	return resp.Status.GetNetwork().GetIp()
}

func execIn(t testing.TB, d *containerd.Daemon, id string, command ...string) (stdout string, code int32) {
	t.Helper()
	resp, err := d.Runtime().ExecSync(testContext(t), &runtimeapi.ExecSyncRequest{ContainerId: id, Cmd: command, Timeout: 20})
	if err != nil {
		t.Fatal(err)
	}
	return string(resp.Stdout), resp.ExitCode
}

func removePod(t testing.TB, d *containerd.Daemon, id string) {
	t.Helper()
	ctx := testContext(t)
	if _, err := d.Runtime().StopPodSandbox(ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: id}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Runtime().RemovePodSandbox(ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: id}); err != nil {
		t.Fatal(err)
	}
}

// eventually waits for a condition that no event announces to this process.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long for: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
