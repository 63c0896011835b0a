package api

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	// drainTime is how long requests under way get at shutdown.
	drainTime = 5 * time.Second
	idleTime  = 90 * time.Second
)

// Shutdown makes the server end: it is not ready any more, and watches end, so
// that their clients go elsewhere. Other requests are still served.
func (s *Server) Shutdown() {
	s.draining.Store(true)
	s.end()
}

// Serve serves HTTP/2 and HTTP/1.1 over TLS on l, or HTTP/1.1 in the clear
// without a tlsConfig, until ctx ends. Then it stops to accept, ends watches and
// waits for the rest, and returns nil.
func (s *Server) Serve(ctx context.Context, l net.Listener, tlsConfig *tls.Config) error {
	srv := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 32 * time.Second, // against clients that trickle headers
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    1 << 20,
		ErrorLog:          slog.NewLogLogger(quiet{s.cfg.Logger.Handler()}, slog.LevelDebug),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: 250,
			// Each answer has an Audit-Id of its own, which fills any table.
			MaxEncoderHeaderTableSize:     1 << 10,
			MaxReadFrameSize:              1 << 17,
			MaxReceiveBufferPerStream:     256 << 10,
			MaxReceiveBufferPerConnection: 1 << 20,
		},
	}
	var secure *acceptor
	if tlsConfig != nil {
		srv.TLSConfig = tlsConfig.Clone()
		secure = newAcceptor(l, srv, srv.TLSConfig, s.cfg.Logger)
		l = secure
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(l) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	s.Shutdown()
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	if err := srv.Shutdown(drain); err != nil {
		_ = srv.Close()
	}
	if secure != nil {
		secure.drain(drain)
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// quiet turns the HTTP server's complaints about clients (TLS handshakes with
// port scanners) into debug messages.
type quiet struct{ slog.Handler }

func (q quiet) Enabled(ctx context.Context, _ slog.Level) bool {
	return q.Handler.Enabled(ctx, slog.LevelDebug)
}
