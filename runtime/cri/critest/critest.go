// Package critest is the suite that every container runtime behind package cri
// passes, the fake as well as real ones:
//
//	func TestCRI(t *testing.T) { critest.Run(t, rt, images, critest.Options{Image: "busybox"}) }
//
// The image must be present and have a shell and the programs of busybox.
package critest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"skiff/runtime/cri"
)

// Options fit the suite to a runtime.
type Options struct {
	// Image is a present image with busybox.
	Image string
	// CgroupParent is that of the sandboxes, "" for none.
	CgroupParent string
	// RuntimeHandler is passed on, "" for the default one.
	RuntimeHandler string
	// HostNetwork runs sandboxes without a network of their own.
	HostNetwork bool
	// Timeout bounds each test, 0 for a minute.
	Timeout time.Duration
}

// suite is one test's runtime.
type suite struct {
	*testing.T
	rt     cri.Runtime
	images cri.Images
	opts   Options
	ctx    context.Context
	dir    string
	wake   chan struct{}
}

var serial atomic.Int64

// Run runs the suite.
func Run(t *testing.T, rt cri.Runtime, images cri.Images, opts Options) {
	if opts.Timeout == 0 {
		opts.Timeout = time.Minute
	}
	for _, c := range []struct {
		name string
		test func(*suite)
	}{
		{"Version", testVersion},
		{"Sandbox", testSandbox},
		{"SandboxNames", testSandboxNames},
		{"Container", testContainer},
		{"ExitCodes", testExitCodes},
		{"Stop", testStop},
		{"StartError", testStartError},
		{"Exec", testExec},
		{"EnvAndMounts", testEnvAndMounts},
		{"Logs", testLogs},
		{"Events", testEvents},
		{"NotFound", testNotFound},
		{"Images", testImages},
		{"Streams", testStreams},
		{"Stats", testStats},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), opts.Timeout)
			defer cancel()
			s := &suite{T: t, rt: rt, images: images, opts: opts, ctx: ctx, dir: t.TempDir(), wake: make(chan struct{}, 1)}
			defer s.follow()()
			c.test(s)
		})
	}
}

// follow wakes await with every event, and returns what ends it.
func (s *suite) follow() func() {
	ctx, cancel := context.WithCancel(s.ctx)
	ready, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		s.rt.Events(ctx, func() { close(ready) }, func(*runtimeapi.ContainerEventResponse) {
			select {
			case s.wake <- struct{}{}:
			default:
			}
		})
	}()
	select {
	case <-ready:
	case <-done:
		s.Fatal("Events ended before it was subscribed")
	}
	return func() { cancel(); <-done }
}

// await looks again with every event, and now and then, until ok.
func (s *suite) await(what string, ok func() bool) {
	s.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-s.wake:
		case <-tick.C:
		case <-s.ctx.Done():
			s.Fatalf("waited in vain for %s", what)
		}
	}
}

// sandbox runs one and removes it in the end.
func (s *suite) sandbox() (string, *runtimeapi.PodSandboxConfig) {
	s.Helper()
	n := serial.Add(1)
	name := fmt.Sprintf("critest-%d-%d", os.Getpid(), n)
	mode := runtimeapi.NamespaceMode_POD
	if s.opts.HostNetwork {
		mode = runtimeapi.NamespaceMode_NODE
	}
	cfg := &runtimeapi.PodSandboxConfig{
		Metadata:     &runtimeapi.PodSandboxMetadata{Name: name, Namespace: "critest", Uid: name + "-uid"},
		Hostname:     name,
		LogDirectory: filepath.Join(s.dir, name),
		Labels:       map[string]string{"io.kubernetes.pod.uid": name + "-uid", "io.kubernetes.pod.name": name, "io.kubernetes.pod.namespace": "critest"},
		Annotations:  map[string]string{"example.org/note": "a note"},
		Linux: &runtimeapi.LinuxPodSandboxConfig{CgroupParent: s.opts.CgroupParent, SecurityContext: &runtimeapi.LinuxSandboxSecurityContext{
			NamespaceOptions: &runtimeapi.NamespaceOption{Network: mode, Pid: runtimeapi.NamespaceMode_CONTAINER},
		}},
	}
	resp, err := s.rt.RunPodSandbox(s.ctx, &runtimeapi.RunPodSandboxRequest{Config: cfg, RuntimeHandler: s.opts.RuntimeHandler})
	if err != nil {
		s.Fatalf("RunPodSandbox: %v", err)
	}
	s.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if _, err := s.rt.StopPodSandbox(ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: resp.PodSandboxId}); err != nil {
			s.Errorf("StopPodSandbox in the end: %v", err)
		}
		if _, err := s.rt.RemovePodSandbox(ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: resp.PodSandboxId}); err != nil {
			s.Errorf("RemovePodSandbox in the end: %v", err)
		}
	})
	return resp.PodSandboxId, cfg
}

// container creates one that runs argv.
func (s *suite) container(sandbox string, cfg *runtimeapi.PodSandboxConfig, name string, argv ...string) string {
	s.Helper()
	return s.create(sandbox, cfg, s.config(name, argv...))
}

func (s *suite) config(name string, argv ...string) *runtimeapi.ContainerConfig {
	mode := runtimeapi.NamespaceMode_POD
	if s.opts.HostNetwork {
		mode = runtimeapi.NamespaceMode_NODE
	}
	return &runtimeapi.ContainerConfig{
		Metadata: &runtimeapi.ContainerMetadata{Name: name}, Image: &runtimeapi.ImageSpec{Image: s.opts.Image},
		Command: argv, LogPath: name + ".log",
		Labels: map[string]string{"io.kubernetes.container.name": name}, Annotations: map[string]string{"io.kubernetes.container.restartCount": "0"},
		Linux: &runtimeapi.LinuxContainerConfig{Resources: &runtimeapi.LinuxContainerResources{CpuShares: 2, OomScoreAdj: 1000}, SecurityContext: &runtimeapi.LinuxContainerSecurityContext{
			NamespaceOptions: &runtimeapi.NamespaceOption{Network: mode, Pid: runtimeapi.NamespaceMode_CONTAINER},
		}},
	}
}

func (s *suite) create(sandbox string, cfg *runtimeapi.PodSandboxConfig, c *runtimeapi.ContainerConfig) string {
	s.Helper()
	resp, err := s.rt.CreateContainer(s.ctx, &runtimeapi.CreateContainerRequest{PodSandboxId: sandbox, Config: c, SandboxConfig: cfg})
	if err != nil {
		s.Fatalf("CreateContainer: %v", err)
	}
	return resp.ContainerId
}

func (s *suite) start(id string) {
	s.Helper()
	if _, err := s.rt.StartContainer(s.ctx, &runtimeapi.StartContainerRequest{ContainerId: id}); err != nil {
		s.Fatalf("StartContainer: %v", err)
	}
}

func (s *suite) status(id string) *runtimeapi.ContainerStatus {
	s.Helper()
	resp, err := s.rt.ContainerStatus(s.ctx, &runtimeapi.ContainerStatusRequest{ContainerId: id})
	if err != nil {
		s.Fatalf("ContainerStatus: %v", err)
	}
	return resp.Status
}

// exited waits for the container's end.
func (s *suite) exited(id string) *runtimeapi.ContainerStatus {
	s.Helper()
	var last *runtimeapi.ContainerStatus
	s.await("the container to exit", func() bool {
		last = s.status(id)
		return last.State == runtimeapi.ContainerState_CONTAINER_EXITED
	})
	return last
}

func (s *suite) code(what string, err error, want codes.Code) {
	s.Helper()
	if status.Code(err) != want {
		s.Errorf("%s: error %v, want code %s", what, err, want)
	}
}

// logLines returns the lines of a log as "stream text", once there are n.
func (s *suite) logLines(path string, n int) []string {
	s.Helper()
	var out []string
	s.await("the log", func() bool {
		out = nil
		data, err := os.ReadFile(path)
		if err != nil {
			return false
		}
		for line := range strings.Lines(string(data)) {
			fields := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 4)
			if len(fields) != 4 {
				s.Fatalf("log line %q is not in the format of the CRI", line)
			}
			if _, err := time.Parse(time.RFC3339Nano, fields[0]); err != nil {
				s.Fatalf("log line %q: %v", line, err)
			}
			if fields[2] != "F" {
				s.Fatalf("log line %q is not tagged as full", line)
			}
			out = append(out, fields[1]+" "+fields[3])
		}
		return len(out) >= n
	})
	return out
}
