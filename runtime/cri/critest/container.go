package critest

import (
	"context"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func testContainer(s *suite) {
	id, cfg := s.sandbox()
	cid := s.container(id, cfg, "main", "sleep", "3600")
	if st := s.status(cid); st.State != runtimeapi.ContainerState_CONTAINER_CREATED || st.CreatedAt == 0 || st.StartedAt != 0 {
		s.Errorf("after creation: %v", st)
	}
	s.start(cid)
	st := s.status(cid)
	if st.State != runtimeapi.ContainerState_CONTAINER_RUNNING || st.StartedAt < st.CreatedAt || st.FinishedAt != 0 {
		s.Errorf("after start: %v", st)
	}
	if st.Metadata.GetName() != "main" || st.Labels["io.kubernetes.container.name"] != "main" || st.Annotations["io.kubernetes.container.restartCount"] != "0" ||
		st.LogPath != filepath.Join(cfg.LogDirectory, "main.log") || st.ImageRef == "" || st.Image.GetImage() == "" {
		s.Errorf("status does not tell what was asked for: %v", st)
	}
	list, err := s.rt.ListContainers(s.ctx, &runtimeapi.ListContainersRequest{Filter: &runtimeapi.ContainerFilter{PodSandboxId: id}})
	if err != nil || len(list.Containers) != 1 || list.Containers[0].Id != cid || list.Containers[0].PodSandboxId != id || list.Containers[0].State != runtimeapi.ContainerState_CONTAINER_RUNNING {
		s.Errorf("ListContainers of the sandbox = %v, %v", list, err)
	}
	if _, err := s.rt.StartContainer(s.ctx, &runtimeapi.StartContainerRequest{ContainerId: cid}); err == nil {
		s.Error("a running container was started again")
	}
	if _, err := s.rt.RemoveContainer(s.ctx, &runtimeapi.RemoveContainerRequest{ContainerId: cid}); err != nil {
		s.Errorf("RemoveContainer of a running one: %v", err)
	}
	_, err = s.rt.ContainerStatus(s.ctx, &runtimeapi.ContainerStatusRequest{ContainerId: cid})
	s.code("status of a removed container", err, codes.NotFound)
}

func testExitCodes(s *suite) {
	id, cfg := s.sandbox()
	for _, c := range []struct {
		name, script string
		code         int32
		reason       string
	}{
		{"zero", "exit 0", 0, "Completed"},
		{"seven", "exit 7", 7, "Error"},
	} {
		cid := s.container(id, cfg, c.name, "sh", "-c", c.script)
		s.start(cid)
		st := s.exited(cid)
		if st.ExitCode != c.code || st.Reason != c.reason || st.FinishedAt < st.StartedAt || st.StartedAt == 0 {
			s.Errorf("%q: exit code %d, reason %q, times %d to %d; want %d, %q", c.script, st.ExitCode, st.Reason, st.StartedAt, st.FinishedAt, c.code, c.reason)
		}
	}
}

func testStop(s *suite) {
	id, cfg := s.sandbox()
	stop := func(cid string, timeout int64) {
		s.Helper()
		if _, err := s.rt.StopContainer(s.ctx, &runtimeapi.StopContainerRequest{ContainerId: cid, Timeout: timeout}); err != nil {
			s.Fatalf("StopContainer: %v", err)
		}
		if st := s.status(cid); st.State != runtimeapi.ContainerState_CONTAINER_EXITED {
			s.Errorf("after StopContainer returned: %v", st)
		}
	}
	at := s.container(id, cfg, "at-once", "sleep", "3600")
	s.start(at)
	stop(at, 0)
	if st := s.status(at); st.ExitCode != 137 {
		s.Errorf("killed: exit code %d, want 137", st.ExitCode)
	}
	stop(at, 0) // a dead one
	deaf := s.container(id, cfg, "deaf", "sh", "-c", "trap '' TERM; sleep 3600")
	s.start(deaf)
	stop(deaf, 1)
	if st := s.status(deaf); st.ExitCode != 137 {
		s.Errorf("a container that ignores TERM: exit code %d, want 137", st.ExitCode)
	}
}

func testStartError(s *suite) {
	id, cfg := s.sandbox()
	cid := s.container(id, cfg, "main", "/does/not/exist")
	if _, err := s.rt.StartContainer(s.ctx, &runtimeapi.StartContainerRequest{ContainerId: cid}); err == nil {
		s.Fatal("a missing program was started")
	}
	st := s.status(cid)
	if st.State != runtimeapi.ContainerState_CONTAINER_EXITED || st.ExitCode != 128 || st.Reason != "StartError" || st.Message == "" {
		s.Errorf("after a failed start: %v, want exited with 128 StartError and a message", st)
	}
}

func testExec(s *suite) {
	id, cfg := s.sandbox()
	cid := s.container(id, cfg, "main", "sleep", "3600")
	s.start(cid)
	resp, err := s.rt.ExecSync(s.ctx, &runtimeapi.ExecSyncRequest{ContainerId: cid, Cmd: []string{"sh", "-c", "echo out; echo err >&2; exit 3"}, Timeout: 30})
	if err != nil || string(resp.Stdout) != "out\n" || string(resp.Stderr) != "err\n" || resp.ExitCode != 3 {
		s.Errorf("ExecSync = %v, %v", resp, err)
	}
	_, err = s.rt.ExecSync(s.ctx, &runtimeapi.ExecSyncRequest{ContainerId: cid, Cmd: []string{"sleep", "60"}, Timeout: 1})
	s.code("ExecSync that takes too long", err, codes.DeadlineExceeded)
	if resp, err := s.rt.ExecSync(s.ctx, &runtimeapi.ExecSyncRequest{ContainerId: cid, Cmd: []string{"/does/not/exist"}, Timeout: 30}); err == nil {
		s.Errorf("ExecSync of a missing program = %v, want an error", resp)
	}
	if _, err := s.rt.StopContainer(s.ctx, &runtimeapi.StopContainerRequest{ContainerId: cid}); err != nil {
		s.Fatal(err)
	}
	if resp, err := s.rt.ExecSync(s.ctx, &runtimeapi.ExecSyncRequest{ContainerId: cid, Cmd: []string{"true"}, Timeout: 30}); err == nil {
		s.Errorf("ExecSync in a dead container = %v, want an error", resp)
	}
}

func testEnvAndMounts(s *suite) {
	id, cfg := s.sandbox()
	shared := filepath.Join(s.dir, "shared")
	if err := os.Mkdir(shared, 0o777); err != nil {
		s.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(shared, "in"), []byte("from the node\n"), 0o644); err != nil {
		s.Fatal(err)
	}
	c := s.config("main", "sh", "-c", "printenv GREETING; cat /shared/in; echo from inside > /shared/out")
	c.Envs = []*runtimeapi.KeyValue{{Key: "GREETING", Value: []byte("hello world")}}
	c.Mounts = []*runtimeapi.Mount{{ContainerPath: "/shared", HostPath: shared}}
	cid := s.create(id, cfg, c)
	s.start(cid)
	if st := s.exited(cid); st.ExitCode != 0 || len(st.Mounts) != 1 || st.Mounts[0].HostPath != shared {
		s.Errorf("status = %v", st)
	}
	got := s.logLines(filepath.Join(cfg.LogDirectory, "main.log"), 2)
	if want := []string{"stdout hello world", "stdout from the node"}; !slices.Equal(got, want) {
		s.Errorf("log = %q, want %q", got, want)
	}
	if data, err := os.ReadFile(filepath.Join(shared, "out")); err != nil || string(data) != "from inside\n" {
		s.Errorf("file written inside = %q, %v", data, err)
	}
}

func testLogs(s *suite) {
	id, cfg := s.sandbox()
	cid := s.container(id, cfg, "main", "sh", "-c", "echo one; echo two >&2; sleep 3600")
	s.start(cid)
	path := filepath.Join(cfg.LogDirectory, "main.log")
	got := s.logLines(path, 2)
	slices.Sort(got) // the order of different streams is not kept
	if want := []string{"stderr two", "stdout one"}; !slices.Equal(got, want) {
		s.Errorf("log = %q, want %q", got, want)
	}
	if err := os.Rename(path, path+".1"); err != nil {
		s.Fatal(err)
	}
	if _, err := s.rt.ReopenContainerLog(s.ctx, &runtimeapi.ReopenContainerLogRequest{ContainerId: cid}); err != nil {
		s.Fatalf("ReopenContainerLog: %v", err)
	}
	if _, err := os.Stat(path); err != nil {
		s.Errorf("after ReopenContainerLog: %v", err)
	}
}

func testEvents(s *suite) {
	id, cfg := s.sandbox()
	ctx, cancel := context.WithCancel(s.ctx)
	events := make(chan *runtimeapi.ContainerEventResponse, 100)
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- s.rt.Events(ctx, func() { close(ready) }, func(ev *runtimeapi.ContainerEventResponse) { events <- ev })
	}()
	<-ready
	cid := s.container(id, cfg, "main", "sh", "-c", "exit 0")
	s.start(cid)
	want := []runtimeapi.ContainerEventType{
		runtimeapi.ContainerEventType_CONTAINER_CREATED_EVENT, runtimeapi.ContainerEventType_CONTAINER_STARTED_EVENT, runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT,
	}
	for len(want) > 0 {
		select {
		case ev := <-events:
			if ev.ContainerId != cid {
				continue
			}
			if ev.ContainerEventType != want[0] {
				s.Fatalf("event %s, want %s", ev.ContainerEventType, want[0])
			}
			if uid := ev.GetPodSandboxStatus().GetMetadata().GetUid(); uid != cfg.Metadata.Uid {
				s.Errorf("event %s is about the pod %q, want %q", ev.ContainerEventType, uid, cfg.Metadata.Uid)
			}
			want = want[1:]
		case <-s.ctx.Done():
			s.Fatalf("no event %s", want[0])
		}
	}
	cancel()
	if err := <-done; err == nil {
		s.Error("Events returned nil after its context ended")
	}
}

func testImages(s *suite) {
	resp, err := s.images.ImageStatus(s.ctx, &runtimeapi.ImageStatusRequest{Image: &runtimeapi.ImageSpec{Image: s.opts.Image}})
	if err != nil || resp.Image == nil || resp.Image.Id == "" || resp.Image.Size == 0 {
		s.Fatalf("ImageStatus of a present image = %v, %v", resp, err)
	}
	byID, err := s.images.ImageStatus(s.ctx, &runtimeapi.ImageStatusRequest{Image: &runtimeapi.ImageSpec{Image: resp.Image.Id}})
	if err != nil || byID.Image.GetId() != resp.Image.Id {
		s.Errorf("ImageStatus by id = %v, %v", byID, err)
	}
	missing, err := s.images.ImageStatus(s.ctx, &runtimeapi.ImageStatusRequest{Image: &runtimeapi.ImageSpec{Image: "localhost/critest/missing:v1"}})
	if err != nil || missing.Image != nil {
		s.Errorf("ImageStatus of a missing image = %v, %v, want nil and no error", missing, err)
	}
	list, err := s.images.ListImages(s.ctx, &runtimeapi.ListImagesRequest{})
	if err != nil || !slices.ContainsFunc(list.Images, func(i *runtimeapi.Image) bool { return i.Id == resp.Image.Id }) {
		s.Errorf("ListImages = %v, %v, want %s in it", list, err, resp.Image.Id)
	}
	if _, err := s.images.ImageFsInfo(s.ctx, &runtimeapi.ImageFsInfoRequest{}); err != nil {
		s.Errorf("ImageFsInfo: %v", err)
	}
	if _, err := s.images.RemoveImage(s.ctx, &runtimeapi.RemoveImageRequest{Image: &runtimeapi.ImageSpec{Image: "localhost/critest/missing:v1"}}); err != nil {
		s.Errorf("RemoveImage of a missing image: %v", err)
	}
}

func testStreams(s *suite) {
	id, cfg := s.sandbox()
	cid := s.container(id, cfg, "main", "sleep", "3600")
	s.start(cid)
	exec, err := s.rt.Exec(s.ctx, &runtimeapi.ExecRequest{ContainerId: cid, Cmd: []string{"true"}, Stdout: true})
	if err != nil {
		s.Fatalf("Exec: %v", err)
	}
	attach, err := s.rt.Attach(s.ctx, &runtimeapi.AttachRequest{ContainerId: cid, Stdout: true})
	if err != nil {
		s.Fatalf("Attach: %v", err)
	}
	forward, err := s.rt.PortForward(s.ctx, &runtimeapi.PortForwardRequest{PodSandboxId: id})
	if err != nil {
		s.Fatalf("PortForward: %v", err)
	}
	for _, address := range []string{exec.Url, attach.Url, forward.Url} {
		u, err := url.Parse(address)
		if err != nil || !strings.HasPrefix(u.Scheme, "http") {
			s.Errorf("address %q: %v", address, err)
			continue
		}
		if ip := net.ParseIP(u.Hostname()); ip == nil || !ip.IsLoopback() {
			s.Errorf("address %q is not on loopback", address)
		}
	}
}

func testStats(s *suite) {
	id, cfg := s.sandbox()
	cid := s.container(id, cfg, "main", "sleep", "3600")
	s.start(cid)
	containers, err := s.rt.ListContainerStats(s.ctx, &runtimeapi.ListContainerStatsRequest{Filter: &runtimeapi.ContainerStatsFilter{PodSandboxId: id}})
	if err != nil || len(containers.Stats) != 1 || containers.Stats[0].GetAttributes().GetId() != cid {
		s.Errorf("ListContainerStats = %v, %v", containers, err)
	}
	pods, err := s.rt.ListPodSandboxStats(s.ctx, &runtimeapi.ListPodSandboxStatsRequest{Filter: &runtimeapi.PodSandboxStatsFilter{Id: id}})
	if err != nil || len(pods.Stats) != 1 || pods.Stats[0].GetAttributes().GetLabels()["io.kubernetes.pod.uid"] != cfg.Metadata.Uid {
		s.Errorf("ListPodSandboxStats = %v, %v", pods, err)
	}
}
