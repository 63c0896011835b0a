package api

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/proxy"
	streams "k8s.io/apiserver/pkg/util/proxy"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/streaming/pkg/httpstream/wsstream"

	"skiff/agent/pod"
)

func writerFor(w io.Writer, asked, stream string) io.Writer {
	if asked == "All" || asked == stream {
		return w
	}
	return nil
}

// streamOptions are which streams a client wants.
type streamOptions struct{ stdin, stdout, stderr, tty bool }

func parseStreams(q url.Values) (streamOptions, error) {
	is := func(name string) bool { v := q.Get(name); return v == "1" || v == "true" }
	o := streamOptions{stdin: is(corev1.ExecStdinParam), stdout: is(corev1.ExecStdoutParam), stderr: is(corev1.ExecStderrParam), tty: is(corev1.ExecTTYParam)}
	if o.tty {
		o.stderr = false // a terminal has one output
	}
	if !o.stdin && !o.stdout && !o.stderr {
		return o, fmt.Errorf("you must specify at least 1 of stdin, stdout, stderr")
	}
	return o, nil
}

// target finds the running container that a request names.
func (s *Server) target(w http.ResponseWriter, r *http.Request) (pod.Container, bool) {
	found, ok := s.pod(w, r)
	if !ok {
		return pod.Container{}, false
	}
	c, ok := found.Container(r.PathValue("container"), false)
	if !ok || !c.Running {
		http.Error(w, fmt.Sprintf("container not found (%q)", r.PathValue("container")), http.StatusNotFound)
		return c, false
	}
	return c, true
}

func (s *Server) pod(w http.ResponseWriter, r *http.Request) (pod.Found, bool) {
	found, ok := s.cfg.Pods.Find(r.PathValue("namespace"), r.PathValue("pod"))
	if uid := r.PathValue("uid"); !ok || uid != "" && string(found.Pod.UID) != uid {
		http.Error(w, "pod does not exist", http.StatusNotFound)
		return found, false
	}
	return found, true
}

func (s *Server) exec(w http.ResponseWriter, r *http.Request) {
	o, err := parseStreams(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c, ok := s.target(w, r)
	if !ok {
		return
	}
	resp, err := s.cfg.Runtime.Exec(r.Context(), &runtimeapi.ExecRequest{
		ContainerId: c.ID, Cmd: r.URL.Query()[corev1.ExecCommandParam], Tty: o.tty, Stdin: o.stdin, Stdout: o.stdout, Stderr: o.stderr,
	})
	s.stream(w, r, resp.GetUrl(), err, o)
}

func (s *Server) attach(w http.ResponseWriter, r *http.Request) {
	o, err := parseStreams(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c, ok := s.target(w, r)
	if !ok {
		return
	}
	// A terminal or not is decided by the container, not by who attaches.
	if found, ok := s.cfg.Pods.Find(r.PathValue("namespace"), r.PathValue("pod")); ok {
		if spec := found.Spec(r.PathValue("container")); spec != nil && spec.TTY {
			o.tty, o.stderr = true, false
		} else {
			o.tty = false
		}
	}
	resp, err := s.cfg.Runtime.Attach(r.Context(), &runtimeapi.AttachRequest{
		ContainerId: c.ID, Tty: o.tty, Stdin: o.stdin, Stdout: o.stdout, Stderr: o.stderr,
	})
	s.stream(w, r, resp.GetUrl(), err, o)
}

// stream connects the client with the runtime's streaming server. WebSocket
// clients of the fifth protocol, which runtimes do not speak, are translated.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, address string, err error, o streamOptions) {
	location, ok := s.location(w, address, err)
	if !ok {
		return
	}
	var h http.Handler = proxy.NewUpgradeAwareHandler(location, nil, false, true, responder{s})
	if wsstream.IsWebSocketRequestWithStreamCloseProtocol(r) {
		h = streams.NewStreamTranslatorHandler(location, nil, 0, streams.Options{Stdin: o.stdin, Stdout: o.stdout, Stderr: o.stderr, Tty: o.tty})
	}
	h.ServeHTTP(w, r)
}

func (s *Server) portForward(w http.ResponseWriter, r *http.Request) {
	found, ok := s.pod(w, r)
	if !ok {
		return
	}
	if found.Sandbox == "" {
		http.Error(w, "pod is not running", http.StatusBadRequest)
		return
	}
	tunnel := wsstream.IsWebSocketRequestWithTunnelingProtocol(r)
	req := &runtimeapi.PortForwardRequest{PodSandboxId: found.Sandbox}
	if wsstream.IsWebSocketRequest(r) && !tunnel {
		// The older WebSocket protocol names the ports in the query.
		for _, text := range r.URL.Query()[corev1.PortHeader] {
			port, err := strconv.ParseInt(text, 10, 32)
			if err != nil || port < 1 || port > 65535 {
				http.Error(w, fmt.Sprintf("invalid port %q", text), http.StatusBadRequest)
				return
			}
			req.Port = append(req.Port, int32(port))
		}
		if len(req.Port) == 0 {
			http.Error(w, `query parameter "port" is required`, http.StatusBadRequest)
			return
		}
	}
	resp, err := s.cfg.Runtime.PortForward(r.Context(), req)
	location, ok := s.location(w, resp.GetUrl(), err)
	if !ok {
		return
	}
	var h http.Handler = proxy.NewUpgradeAwareHandler(location, nil, false, true, responder{s})
	if tunnel {
		h = streams.NewTunnelingHandler(h)
	}
	h.ServeHTTP(w, r)
}

func (s *Server) location(w http.ResponseWriter, address string, err error) (*url.URL, bool) {
	if err == nil {
		var u *url.URL
		if u, err = url.Parse(address); err == nil {
			return u, true
		}
	}
	code := http.StatusInternalServerError
	if status.Code(err) == codes.NotFound {
		code = http.StatusNotFound
	}
	http.Error(w, status.Convert(err).Message(), code)
	return nil, false
}

// responder answers for a proxy that could not connect.
type responder struct{ s *Server }

// Error implements proxy.ErrorResponder.
func (e responder) Error(w http.ResponseWriter, _ *http.Request, err error) {
	e.s.cfg.Log.Warn("cannot connect to the runtime's streams", "err", err)
	http.Error(w, err.Error(), http.StatusInternalServerError)
}
