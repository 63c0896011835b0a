package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/hashicorp/yamux"

	"skiff/server/tunnel/wire"
)

// ErrNoTunnel is returned for nodes that have no tunnel.
var ErrNoTunnel = errors.New("no tunnel")

// answerTime is how long a node may take to connect. Its own limit is shorter: more
// than that, and it is the tunnel that does not answer.
const answerTime = 10 * time.Second

// Dial connects to a node through its tunnel: to the node's own API if addr is "",
// else to IP:PORT, of which the node allows those of its own pods and its own. The
// error wraps ErrNoTunnel if the node has none, *wire.Refusal if the node could or
// would not connect.
//
// The connection has deadlines. Close ends it at both ends; there is no closing
// for writing only, which neither TLS nor HTTP makes use of. What the other side
// closes for writing ends in io.EOF; a lost tunnel ends in another error.
func (s *Server) Dial(ctx context.Context, node, addr string) (net.Conn, error) {
	var to netip.AddrPort
	if addr != "" {
		var err error
		if to, err = netip.ParseAddrPort(addr); err != nil {
			return nil, fmt.Errorf("dial node %q: %w", node, err)
		}
	}
	s.mu.Lock()
	t := s.tunnels[node]
	s.mu.Unlock()
	if t == nil {
		return nil, fmt.Errorf("node %q is not connected: %w", node, ErrNoTunnel)
	}
	conn, err := t.dial(ctx, to)
	s.count(err)
	if err != nil {
		return nil, fmt.Errorf("dial %s through the tunnel of node %q: %w", target(to), node, err)
	}
	return conn, nil
}

func target(to netip.AddrPort) string {
	if !to.IsValid() {
		return "its API"
	}
	return to.String()
}

// dial opens a stream. Opening waits if the connection is stuck, and knows no
// context: hence the goroutine, which the session's end ends.
func (t *tunnel) dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, answerTime, fmt.Errorf("no answer in %v", answerTime))
	defer cancel()
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result)
	go func() {
		conn, err := t.open(ctx, to)
		select {
		case done <- result{conn, err}:
		case <-ctx.Done():
			if err == nil {
				_ = conn.Close() // nobody is there who could be told
			}
		}
	}()
	select {
	case r := <-done:
		return r.conn, r.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (t *tunnel) open(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	raw, err := t.session.OpenStream()
	if err != nil {
		return nil, lost(err)
	}
	stream := wire.NewStream(raw)
	stop := context.AfterFunc(ctx, func() { _ = stream.SetDeadline(wire.Past) }) // never fails
	err = wire.WriteRequest(stream, to)
	if err == nil {
		err = wire.ReadAnswer(stream)
	}
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = stream.Close() // err says more
		return nil, err
	}
	return &conn{Conn: stream, remote: address{t.node, to}}, nil
}

// lost makes the end of a session the one error that the end of a tunnel has.
func lost(err error) error {
	if errors.Is(err, yamux.ErrSessionShutdown) || errors.Is(err, yamux.ErrConnectionWriteTimeout) {
		return fmt.Errorf("%w: %w", wire.ErrLost, err)
	}
	return err
}

// conn names the other end, and has no CloseWrite: the other end would take it for
// Close.
type conn struct {
	net.Conn
	remote address
}

// RemoteAddr implements net.Conn.
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// address is that of something in a node.
type address struct {
	node string
	to   netip.AddrPort
}

// Network implements net.Addr.
func (address) Network() string { return "tunnel" }

// String implements net.Addr.
func (a address) String() string {
	if !a.to.IsValid() {
		return a.node
	}
	return a.node + "/" + a.to.String()
}
