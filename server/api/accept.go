package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

// handshakeTime is how long a client may take to agree on TLS.
const handshakeTime = 10 * time.Second

// acceptor is a listener that does TLS, and keeps what speaks HTTP/2 to itself:
// only HTTP/1.1 comes out. net/http would serve HTTP/2 from the goroutine that
// did the handshake, whose stack keeps its size: on a server of a thousand nodes,
// that is a tenth of the memory.
type acceptor struct {
	net.Listener
	srv  *http.Server
	conf *tls.Config
	log  *slog.Logger

	start   sync.Once
	taken   chan taken
	closing chan struct{}
	close   func() error

	mu sync.Mutex
	// open are the connections that speak HTTP/2.
	open    map[*tls.Conn]struct{}
	serving sync.WaitGroup
}

// taken is what Accept returns.
type taken struct {
	conn net.Conn
	err  error
}

func newAcceptor(l net.Listener, srv *http.Server, conf *tls.Config, log *slog.Logger) *acceptor {
	a := &acceptor{
		Listener: l, srv: srv, conf: conf, log: log,
		taken: make(chan taken), closing: make(chan struct{}),
		open: map[*tls.Conn]struct{}{},
	}
	a.close = sync.OnceValue(func() error {
		a.mu.Lock()
		defer a.mu.Unlock()
		close(a.closing)
		return l.Close()
	})
	return a
}

// Accept returns the next connection that speaks HTTP/1.1. The server calls it when
// it is set up, HTTP/2 included.
func (a *acceptor) Accept() (net.Conn, error) {
	a.start.Do(func() { go a.run() })
	select {
	case got := <-a.taken:
		return got.conn, got.err
	case <-a.closing:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (a *acceptor) Close() error { return a.close() }

// run accepts. What goes wrong is for the server, which knows what can be tried
// again and when.
func (a *acceptor) run() {
	for {
		conn, err := a.Listener.Accept()
		if err == nil {
			go a.greet(conn)
		} else if !a.hand(nil, err) {
			return
		}
	}
}

// hand gives the server what it waits for.
func (a *acceptor) hand(conn net.Conn, err error) bool {
	select {
	case a.taken <- taken{conn, err}:
		return true
	case <-a.closing:
		return false
	}
}

// greet does the handshake.
func (a *acceptor) greet(raw net.Conn) {
	conn := tls.Server(raw, a.conf)
	err := raw.SetDeadline(time.Now().Add(handshakeTime))
	if err == nil {
		err = conn.Handshake()
	}
	if err == nil {
		err = raw.SetDeadline(time.Time{})
	}
	switch {
	case err != nil:
		a.log.Debug("TLS handshake failed", "from", raw.RemoteAddr(), "err", err)
		answerPlain(err)
		_ = raw.Close() // err says more
	case conn.ConnectionState().NegotiatedProtocol == "h2":
		go a.serve(conn) // with a stack that has not grown
	case !a.hand(conn, nil):
		_ = conn.Close() // nobody is served any more
	}
}

// answerPlain tells a client that speaks HTTP without TLS.
func answerPlain(err error) {
	plain := []string{"GET /", "HEAD ", "POST ", "PUT /", "OPTIO"}
	if e, ok := errors.AsType[tls.RecordHeaderError](err); ok && e.Conn != nil && slices.Contains(plain, string(e.RecordHeader[:])) {
		_, _ = io.WriteString(e.Conn, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
	}
}

// serve serves HTTP/2 until the connection ends.
func (a *acceptor) serve(conn *tls.Conn) {
	if !a.enter(conn) {
		_ = conn.Close() // nobody is served any more
		return
	}
	defer a.leave(conn)
	defer func() {
		if p := recover(); p != nil {
			a.log.Error("connection panicked", "from", conn.RemoteAddr(), "err", fmt.Sprint(p), "stack", string(debug.Stack()))
			_ = conn.Close() // it is of no use any more
		}
	}()
	a.srv.TLSNextProto["h2"](a.srv, conn, &withTLS{a.srv.Handler, conn})
}

// enter counts a connection, unless no more are taken.
func (a *acceptor) enter(conn *tls.Conn) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	select {
	case <-a.closing:
		return false
	default:
	}
	a.open[conn] = struct{}{}
	a.serving.Add(1)
	return true
}

func (a *acceptor) leave(conn *tls.Conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.open, conn)
	a.serving.Done()
}

// drain waits, after Close, until the last connection has ended. It ends them when
// ctx ends.
func (a *acceptor) drain(ctx context.Context) {
	defer context.AfterFunc(ctx, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		for conn := range a.open {
			_ = conn.NetConn().Close() // there is nobody to tell
		}
	})()
	a.serving.Wait()
}

// withTLS tells the handler of TLS also if a request claims to have come without.
type withTLS struct {
	handler http.Handler
	conn    *tls.Conn
}

// ServeHTTP implements http.Handler.
func (h *withTLS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.TLS == nil {
		r.TLS = stateOf(h.conn)
	}
	h.handler.ServeHTTP(w, r)
}

// stateOf is a function of its own because its frame is large.
//
//go:noinline
func stateOf(conn *tls.Conn) *tls.ConnectionState {
	state := conn.ConnectionState()
	return &state
}
