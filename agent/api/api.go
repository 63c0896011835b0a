// Package api serves the node's HTTPS API, the one that API servers, metrics
// servers and Prometheus know from the kubelet:
//
//	/healthz
//	/pods
//	/containerLogs/{namespace}/{pod}/{container}
//	/exec, /attach          /{namespace}/{pod}[/{uid}]/{container}
//	/portForward            /{namespace}/{pod}[/{uid}]
//	/stats/summary
//	/metrics, /metrics/resource, /metrics/cadvisor
//
// Callers are known by a client certificate or a bearer token, and must be
// allowed the matching subresource of the node (nodes/proxy covers all).
package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/kubernetes"

	"skiff/agent/pod"
	"skiff/agent/stats"
	"skiff/runtime/cri"
)

// Config makes the API.
type Config struct {
	NodeName string
	Pods     *pod.Manager
	Runtime  cri.Runtime
	Images   cri.Images
	// Client reviews tokens and access, where Authenticator and Authorizer are
	// nil.
	Client kubernetes.Interface

	Certificate   func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	ClientCAs     func() *x509.CertPool
	Authenticator authenticator.Request
	Authorizer    authorizer.UnconditionalAuthorizer
	// DataDir is on the file system whose use is reported.
	DataDir string
	// Collectors are shown at /metrics, beside those of the process.
	Collectors []prometheus.Collector
	Log        *slog.Logger
}

// Server answers requests. It is an http.Handler.
type Server struct {
	cfg   Config
	stats *stats.Collector
	mux   *http.ServeMux
	authn authenticator.Request
	authz authorizer.UnconditionalAuthorizer
}

// New returns the handler of the API.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, mux: http.NewServeMux(), authn: cfg.Authenticator, authz: cfg.Authorizer}
	s.stats = &stats.Collector{NodeName: cfg.NodeName, Dir: cfg.DataDir, Runtime: cfg.Runtime, Images: cfg.Images, Pods: cfg.Pods.Pods}
	if s.authn == nil {
		s.authn = newAuthenticator(cfg.ClientCAs, cfg.Client)
	}
	if s.authz == nil {
		s.authz = newReviewer(cfg.Client)
	}
	s.routes()
	return s
}

func (s *Server) routes() {
	s.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ok")) })
	s.mux.HandleFunc("GET /healthz/{check}", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ok")) })
	s.mux.HandleFunc("GET /pods", s.pods)
	s.mux.HandleFunc("GET /pods/{$}", s.pods)
	s.mux.HandleFunc("GET /runningpods/{$}", s.runningPods)
	s.mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", s.logs)
	for _, uid := range []string{"", "/{uid}"} {
		s.mux.HandleFunc("/exec/{namespace}/{pod}"+uid+"/{container}", s.exec)
		s.mux.HandleFunc("/attach/{namespace}/{pod}"+uid+"/{container}", s.attach)
		s.mux.HandleFunc("/portForward/{namespace}/{pod}"+uid, s.portForward)
	}
	s.mux.HandleFunc("/stats/summary", s.summary)
	s.mux.Handle("GET /metrics", metrics(s.cfg.Collectors))
	s.mux.HandleFunc("GET /metrics/resource", s.resourceMetrics)
	s.mux.HandleFunc("GET /metrics/cadvisor", s.cadvisorMetrics)
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.allowed(w, r) {
		s.mux.ServeHTTP(w, r)
	}
}

// Serve serves the API on l until ctx ends. Streams that are open then are cut.
func Serve(ctx context.Context, l net.Listener, cfg Config) error {
	srv := &http.Server{
		Handler: New(cfg),
		TLSConfig: &tls.Config{
			MinVersion: tls.VersionTLS12, GetCertificate: cfg.Certificate,
			// Certificates are checked per request, against the authorities of that moment.
			ClientAuth: tls.RequestClientCert,
		},
		ReadHeaderTimeout: 30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		// Upgrades need HTTP/1.1.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
		ErrorLog:     slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug),
		BaseContext:  func(net.Listener) context.Context { return ctx },
	}
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		grace, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if srv.Shutdown(grace) != nil {
			srv.Close()
		}
	})
	err := srv.ServeTLS(l, "", "")
	if !stop() {
		<-done
	}
	if errors.Is(err, http.ErrServerClosed) {
		return ctx.Err()
	}
	return err
}
