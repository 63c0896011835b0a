package wire

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/yamux"
)

const (
	// Ping is how often an agent pings. Home routers forget connections that are
	// silent for a minute or more.
	Ping = 15 * time.Second
	// PingTimeout is how long an answer may take, and how long a frame may wait to
	// be sent.
	PingTimeout = 10 * time.Second
	// Silence is after how long a server gives up a tunnel that it hears nothing
	// from: two pings and an answer.
	Silence = 2*Ping + PingTimeout
)

const (
	// window is what one stream may have under way. A stalled reader keeps that
	// much of memory; on a line with a round trip of 100 ms, one stream gets 5 MB/s.
	window = 512 << 10
	// backlog bounds the streams that are opened and not yet accepted.
	backlog = 64
)

// ServerSession starts the server's end of a tunnel. It closes conn when it ends,
// and calls ended once before that. It does not ping: a deadline costs less than a
// goroutine for each of a thousand tunnels.
func ServerSession(conn net.Conn, log *slog.Logger, ended func()) (*yamux.Session, error) {
	cfg := config(log)
	cfg.EnableKeepAlive = false
	// A node answers a closed stream by closing it too; what does not is reset.
	cfg.StreamCloseTimeout = PingTimeout
	limitUnsent(conn)
	session, err := yamux.Client(&link{Conn: conn, silence: Silence, ended: ended}, cfg)
	if err != nil {
		return nil, fmt.Errorf("start a tunnel: %w", err)
	}
	return session, nil
}

// AgentSession starts the agent's end of a tunnel.
func AgentSession(conn net.Conn, log *slog.Logger) (*yamux.Session, error) {
	cfg := config(log)
	cfg.EnableKeepAlive = true
	cfg.KeepAliveInterval = Ping
	// The node's half of a stream ends when the pod has sent all, and the server's
	// may go on for any time.
	cfg.StreamCloseTimeout = 0
	limitUnsent(conn)
	session, err := yamux.Server(&link{Conn: conn}, cfg)
	if err != nil {
		return nil, fmt.Errorf("start a tunnel: %w", err)
	}
	return session, nil
}

func config(log *slog.Logger) *yamux.Config {
	cfg := yamux.DefaultConfig()
	cfg.AcceptBacklog = backlog
	cfg.ConnectionWriteTimeout = PingTimeout
	cfg.MaxStreamWindowSize = window
	// Who opens a stream waits for the node's answer with a limit of its own; a
	// slow answer is no reason to end all other streams.
	cfg.StreamOpenTimeout = 0
	cfg.LogOutput, cfg.Logger = nil, quiet{log}
	return cfg
}

// link is a tunnel's connection.
type link struct {
	net.Conn
	silence time.Duration
	ended   func()
	once    sync.Once
}

// Read gives up after too much silence.
func (l *link) Read(p []byte) (int, error) {
	if l.silence > 0 {
		if err := l.SetReadDeadline(time.Now().Add(l.silence)); err != nil {
			return 0, err
		}
	}
	return l.Conn.Read(p)
}

// Close closes the connection below TLS, whose goodbye may wait for a peer that is
// not there.
func (l *link) Close() error {
	l.once.Do(func() {
		if l.ended != nil {
			l.ended()
		}
	})
	return Below(l.Conn).Close()
}

// Below is the connection below TLS.
func Below(conn net.Conn) net.Conn {
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		return Below(t.NetConn())
	}
	return conn
}

// quiet shows what yamux has to say to those who debug: whoever holds the session
// learns by its end.
type quiet struct{ log *slog.Logger }

// Print implements yamux.Logger.
func (q quiet) Print(v ...any) { q.debug(func() string { return fmt.Sprint(v...) }) }

// Printf implements yamux.Logger.
func (q quiet) Printf(format string, v ...any) {
	q.debug(func() string { return fmt.Sprintf(format, v...) })
}

// Println implements yamux.Logger.
func (q quiet) Println(v ...any) { q.debug(func() string { return fmt.Sprint(v...) }) }

func (q quiet) debug(text func() string) {
	if q.log.Enabled(context.Background(), slog.LevelDebug) {
		q.log.Debug("tunnel", "detail", text())
	}
}

// Past is a deadline that ends what waits.
var Past = time.Unix(1, 0)

// isTimeout tells whether a deadline passed.
func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}
