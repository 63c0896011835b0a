package critest

import (
	"google.golang.org/grpc/codes"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func testVersion(s *suite) {
	v, err := s.rt.Version(s.ctx, &runtimeapi.VersionRequest{Version: "v1"})
	if err != nil || v.RuntimeName == "" || v.RuntimeVersion == "" || v.RuntimeApiVersion != "v1" {
		s.Errorf("Version = %v, %v, want a name, a version and the API version v1", v, err)
	}
	st, err := s.rt.Status(s.ctx, &runtimeapi.StatusRequest{})
	if err != nil {
		s.Fatalf("Status: %v", err)
	}
	for _, c := range st.GetStatus().GetConditions() {
		if c.Type == runtimeapi.RuntimeReady && !c.Status {
			s.Errorf("the runtime is not ready: %s %s", c.Reason, c.Message)
		}
	}
}

func testSandbox(s *suite) {
	id, cfg := s.sandbox()
	resp, err := s.rt.PodSandboxStatus(s.ctx, &runtimeapi.PodSandboxStatusRequest{PodSandboxId: id})
	if err != nil {
		s.Fatalf("PodSandboxStatus: %v", err)
	}
	st := resp.Status
	if st.State != runtimeapi.PodSandboxState_SANDBOX_READY || st.Metadata.GetUid() != cfg.Metadata.Uid || st.CreatedAt == 0 ||
		st.Labels["io.kubernetes.pod.name"] != cfg.Metadata.Name || st.Annotations["example.org/note"] != "a note" {
		s.Errorf("status does not tell what was asked for: %v", st)
	}
	if hasIP := st.Network.GetIp() != ""; hasIP == s.opts.HostNetwork {
		s.Errorf("address %q, host network %v", st.Network.GetIp(), s.opts.HostNetwork)
	}
	list := func(f *runtimeapi.PodSandboxFilter) int {
		s.Helper()
		resp, err := s.rt.ListPodSandbox(s.ctx, &runtimeapi.ListPodSandboxRequest{Filter: f})
		if err != nil {
			s.Fatalf("ListPodSandbox: %v", err)
		}
		return len(resp.Items)
	}
	mine := map[string]string{"io.kubernetes.pod.uid": cfg.Metadata.Uid}
	if n := list(&runtimeapi.PodSandboxFilter{LabelSelector: mine}); n != 1 {
		s.Errorf("%d sandboxes by label, want 1", n)
	}
	if n := list(&runtimeapi.PodSandboxFilter{LabelSelector: map[string]string{"io.kubernetes.pod.uid": "nobody"}}); n != 0 {
		s.Errorf("%d sandboxes by a label that none has", n)
	}
	cid := s.container(id, cfg, "main", "sleep", "3600")
	s.start(cid)
	for range 2 { // both are idempotent
		if _, err := s.rt.StopPodSandbox(s.ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: id}); err != nil {
			s.Fatalf("StopPodSandbox: %v", err)
		}
	}
	if c := s.exited(cid); c.ExitCode == 0 {
		s.Errorf("a container that was killed with its sandbox has exit code 0")
	}
	if n := list(&runtimeapi.PodSandboxFilter{LabelSelector: mine, State: &runtimeapi.PodSandboxStateValue{State: runtimeapi.PodSandboxState_SANDBOX_NOTREADY}}); n != 1 {
		s.Errorf("%d stopped sandboxes, want 1", n)
	}
	for range 2 {
		if _, err := s.rt.RemovePodSandbox(s.ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: id}); err != nil {
			s.Fatalf("RemovePodSandbox: %v", err)
		}
	}
	_, err = s.rt.PodSandboxStatus(s.ctx, &runtimeapi.PodSandboxStatusRequest{PodSandboxId: id})
	s.code("status of a removed sandbox", err, codes.NotFound)
	_, err = s.rt.ContainerStatus(s.ctx, &runtimeapi.ContainerStatusRequest{ContainerId: cid})
	s.code("status of a container of a removed sandbox", err, codes.NotFound)
}

func testSandboxNames(s *suite) {
	_, cfg := s.sandbox()
	if resp, err := s.rt.RunPodSandbox(s.ctx, &runtimeapi.RunPodSandboxRequest{Config: cfg, RuntimeHandler: s.opts.RuntimeHandler}); err == nil {
		s.Errorf("a second sandbox of the same name, namespace, uid and attempt was made: %v", resp)
	}
}

func testNotFound(s *suite) {
	const id = "0123456789012345678901234567890123456789012345678901234567890123"
	_, err := s.rt.PodSandboxStatus(s.ctx, &runtimeapi.PodSandboxStatusRequest{PodSandboxId: id})
	s.code("PodSandboxStatus", err, codes.NotFound)
	_, err = s.rt.ContainerStatus(s.ctx, &runtimeapi.ContainerStatusRequest{ContainerId: id})
	s.code("ContainerStatus", err, codes.NotFound)
	_, err = s.rt.StartContainer(s.ctx, &runtimeapi.StartContainerRequest{ContainerId: id})
	s.code("StartContainer", err, codes.NotFound)
	_, err = s.rt.ExecSync(s.ctx, &runtimeapi.ExecSyncRequest{ContainerId: id, Cmd: []string{"true"}})
	s.code("ExecSync", err, codes.NotFound)
	_, err = s.rt.CreateContainer(s.ctx, &runtimeapi.CreateContainerRequest{PodSandboxId: id, Config: s.config("main", "true"), SandboxConfig: &runtimeapi.PodSandboxConfig{}})
	s.code("CreateContainer", err, codes.NotFound)
	// Removing what is not there is what was wanted.
	if _, err := s.rt.RemoveContainer(s.ctx, &runtimeapi.RemoveContainerRequest{ContainerId: id}); err != nil {
		s.Errorf("RemoveContainer: %v", err)
	}
	if _, err := s.rt.RemovePodSandbox(s.ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: id}); err != nil {
		s.Errorf("RemovePodSandbox: %v", err)
	}
}
