// Package serve runs an HTTP server the way a pod should: it says no to
// readiness probes and finishes what it has begun when it is told to end.
//
//	serve.Main(":8080", mux)
package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

// drain bounds how long requests that have begun may take after SIGTERM; it is
// less than the grace period of the examples' pods.
const drain = 8 * time.Second

// Main runs handler on addr until SIGTERM or SIGINT and ends the process.
func Main(addr string, handler *http.ServeMux) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	l, err := net.Listen("tcp", addr)
	if err == nil {
		err = Run(ctx, l, handler)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Run serves handler on l, with /healthz and /readyz added, until ctx ends
// and the requests that have begun are answered.
func Run(ctx context.Context, l net.Listener, handler *http.ServeMux) error {
	var ending atomic.Bool
	handler.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	handler.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if ending.Load() {
			http.Error(w, "ending", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	ending.Store(true)
	rest, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	err := server.Shutdown(rest)
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	if err != nil {
		return fmt.Errorf("serve %s: end what had begun: %w", l.Addr(), err)
	}
	return nil
}
