package remote_test

import (
	"net"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"skiff/runtime/cri/critest"
	"skiff/runtime/cri/fake"
	"skiff/runtime/cri/remote"
)

// unimplemented lies deeper than the fake in server, so that the fake's methods
// win.
type unimplemented struct {
	runtimeapi.UnimplementedRuntimeServiceServer
	runtimeapi.UnimplementedImageServiceServer
}

// server puts the fake behind a socket.
type server struct {
	*fake.Runtime
	unimplemented
}

func (s server) GetContainerEvents(_ *runtimeapi.GetEventsRequest, stream grpc.ServerStreamingServer[runtimeapi.ContainerEventResponse]) error {
	return s.Events(stream.Context(), func() { stream.SendHeader(nil) }, func(ev *runtimeapi.ContainerEventResponse) { stream.Send(ev) })
}

// TestCRI runs the suite through a socket.
func TestCRI(t *testing.T) {
	rt := fake.New(fake.Options{Images: []string{"busybox"}})
	t.Cleanup(rt.Close)
	socket := filepath.Join(t.TempDir(), "cri.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	runtimeapi.RegisterRuntimeServiceServer(srv, server{Runtime: rt})
	runtimeapi.RegisterImageServiceServer(srv, server{Runtime: rt})
	go srv.Serve(l)
	t.Cleanup(srv.Stop)
	c, err := remote.Dial("unix://" + socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	critest.Run(t, c, c, critest.Options{Image: "busybox"})
}

func TestDialRefusesWhatIsNoSocket(t *testing.T) {
	for _, endpoint := range []string{"", "tcp://127.0.0.1:1", "relative.sock", "unix://relative"} {
		if _, err := remote.Dial(endpoint); err == nil || !strings.Contains(err.Error(), "unix:///run/runtime.sock") {
			t.Errorf("Dial(%q) = %v, want an error that tells the form", endpoint, err)
		}
	}
}
