package core_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	nodeforward "k8s.io/cri-streaming/pkg/streaming/portforward"
	nodecommand "k8s.io/cri-streaming/pkg/streaming/remotecommand"

	"skiff/server/registry/core"
)

// shell runs every command, and serves every port, by giving back what comes in.
type shell struct{}

func (shell) ExecInContainer(_ context.Context, _, _, _ string, cmd []string, in io.Reader, out, errOut io.WriteCloser, _ bool, _ <-chan nodecommand.TerminalSize, _ time.Duration) error {
	_, _ = io.WriteString(errOut, strings.Join(cmd, " "))
	_, err := io.Copy(out, in)
	return err
}

func (shell) PortForward(_ context.Context, _, _ string, _ int32, stream io.ReadWriteCloser) error {
	line, err := bufio.NewReader(stream).ReadString('\n')
	if err == nil {
		_, err = io.WriteString(stream, "echo "+line)
	}
	return err
}

// newStreamer is an agent with the shell in all containers.
func newStreamer(t *testing.T) *agent {
	mux := http.NewServeMux()
	mux.HandleFunc("/exec/default/p/c", func(w http.ResponseWriter, r *http.Request) {
		is := func(name string) bool { return r.URL.Query().Get(name) == "1" }
		o := &nodecommand.Options{Stdin: is("input"), Stdout: is("output"), Stderr: is("error"), TTY: is("tty")}
		nodecommand.ServeExec(w, r, shell{}, "p", "", "c", r.URL.Query()["command"], o, time.Minute, time.Minute, nodecommand.SupportedStreamingProtocols)
	})
	mux.HandleFunc("/portForward/default/p", func(w http.ResponseWriter, r *http.Request) {
		nodeforward.ServePortForward(w, r, shell{}, "p", "", nil, time.Minute, time.Minute, nodeforward.SupportedProtocols)
	})
	s := httptest.NewTLSServer(mux)
	t.Cleanup(s.Close)
	return &agent{server: s}
}

// serve is an API server with nothing but two subresources of the pod p.
func serve(t *testing.T) *rest.Config {
	w := newWorld(t, "10.96.0.0/12", core.Deps{Nodes: newStreamer(t)})
	w.mustCreate("pods", pod("p", "c"))
	if _, err := w.post("binding", "p", binding("p", "n1")); err != nil {
		t.Fatal(err)
	}
	s := w.store("pods")
	mux := http.NewServeMux()
	for _, sub := range []string{"exec", "portforward"} {
		list := s.Resource().Subresources
		i := slices.IndexFunc(list, func(s registrySubresource) bool { return s.Name == sub })
		mux.HandleFunc("/"+sub, func(answer http.ResponseWriter, r *http.Request) {
			h, err := list[i].Connect(s, "default", "p", "")
			if err != nil {
				t.Error(err)
				return
			}
			h.ServeHTTP(answer, r)
		})
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return &rest.Config{Host: server.URL}
}

func TestExecStreams(t *testing.T) {
	cfg := serve(t)
	address := cfg.Host + "/exec?command=cat&command=-&stdin=true&stdout=true&stderr=true"
	parsed, _ := url.Parse(address)
	bySPDY, err := remotecommand.NewSPDYExecutor(cfg, "POST", parsed)
	if err != nil {
		t.Fatal(err)
	}
	byWebSocket, err := remotecommand.NewWebSocketExecutor(cfg, "GET", address)
	if err != nil {
		t.Fatal(err)
	}
	for name, exec := range map[string]remotecommand.Executor{"SPDY": bySPDY, "WebSocket": byWebSocket} {
		var out, errOut strings.Builder
		in := strings.Repeat("0123456789", 20000)
		err := exec.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdin: strings.NewReader(in), Stdout: &out, Stderr: &errOut})
		if err != nil || out.String() != in || errOut.String() != "cat -" {
			t.Errorf("%s: %d bytes came back, stderr %q, error %v", name, out.Len(), &errOut, err)
		}
	}
}

func TestPortForwardStreams(t *testing.T) {
	cfg := serve(t)
	address, _ := url.Parse(cfg.Host + "/portforward")
	transport, upgrader, err := spdy.RoundTripperFor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	tunnel, err := portforward.NewSPDYOverWebsocketDialer(address, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("SPDY", func(t *testing.T) {
		forward(t, func(stop <-chan struct{}, ready chan struct{}) (*portforward.PortForwarder, error) {
			return portforward.New(spdy.NewDialer(upgrader, &http.Client{Transport: transport}, "POST", address), []string{"0:80"}, stop, ready, io.Discard, io.Discard)
		})
	})
	t.Run("WebSocket", func(t *testing.T) {
		forward(t, func(stop <-chan struct{}, ready chan struct{}) (*portforward.PortForwarder, error) {
			return portforward.New(tunnel, []string{"0:80"}, stop, ready, io.Discard, io.Discard)
		})
	})
}

func forward(t *testing.T, start func(stop <-chan struct{}, ready chan struct{}) (*portforward.PortForwarder, error)) {
	stop, ready, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	f, err := start(stop, ready)
	if err != nil {
		t.Fatal(err)
	}
	go func() { done <- f.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-done:
		t.Fatal(err)
	}
	ports, err := f.GetPorts()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", net.JoinHostPort("localhost", fmt.Sprint(ports[0].Local)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "hello\n"); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || line != "echo hello\n" {
		t.Errorf("got %q, %v", line, err)
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
