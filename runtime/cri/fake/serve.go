package fake

import (
	"net"

	"google.golang.org/grpc"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Serve puts the runtime behind a listener, as a CRI socket has it, until stop is
// called.
func (r *Runtime) Serve(l net.Listener, opts ...grpc.ServerOption) (stop func()) {
	s := grpc.NewServer(opts...)
	runtimeapi.RegisterRuntimeServiceServer(s, server{Runtime: r})
	runtimeapi.RegisterImageServiceServer(s, server{Runtime: r})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l) // that it was stopped
	}()
	return func() {
		s.Stop()
		<-done
	}
}

// unimplemented lies deeper than the runtime in server, so that the runtime's
// methods win.
type unimplemented struct {
	runtimeapi.UnimplementedRuntimeServiceServer
	runtimeapi.UnimplementedImageServiceServer
}

// server is the runtime as gRPC calls it.
type server struct {
	*Runtime
	unimplemented
}

func (s server) GetContainerEvents(_ *runtimeapi.GetEventsRequest, stream grpc.ServerStreamingServer[runtimeapi.ContainerEventResponse]) error {
	return s.Events(stream.Context(), func() { stream.SendHeader(nil) }, func(ev *runtimeapi.ContainerEventResponse) { stream.Send(ev) })
}
