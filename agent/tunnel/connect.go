package tunnel

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/hashicorp/yamux"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"skiff/server/tunnel/wire"
)

// connect opens a tunnel to a server.
func (c *Config) connect(ctx context.Context, server string) (*yamux.Session, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, connectTime, fmt.Errorf("no answer in %v", connectTime))
	defer cancel()
	conn, err := c.open(ctx, server)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, fmt.Errorf("open a tunnel to %s: %w", server, err)
	}
	session, err := wire.AgentSession(conn, c.Log)
	if err != nil {
		_ = conn.Close() // err says more
		return nil, err
	}
	return session, nil
}

func (c *Config) open(ctx context.Context, server string) (net.Conn, error) {
	raw, err := c.Dial(ctx, server, "http/1.1") // HTTP/2 knows no upgrades
	if err != nil {
		return nil, err
	}
	// Whatever waits below ends with ctx.
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(wire.Past) }) // no worse if it fails
	conn, err := upgrade(ctx, raw, server)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = raw.Close() // err says more
		return nil, err
	}
	return conn, nil
}

func upgrade(ctx context.Context, conn net.Conn, server string) (net.Conn, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+server+wire.Path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", wire.Protocol)
	if err := req.Write(conn); err != nil {
		return nil, err
	}
	buffer := bufio.NewReader(conn)
	resp, err := http.ReadResponse(buffer, req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		defer resp.Body.Close()
		return nil, refusal(resp)
	}
	// The server's first frames may have come with its answer.
	early, err := buffer.Peek(buffer.Buffered())
	if err != nil {
		return nil, err
	}
	return &begun{Conn: conn, early: bytes.Clone(early)}, nil
}

// refusal is the error of an answer that does not upgrade, in the server's words.
func refusal(resp *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, 2048))
	if err != nil {
		return fmt.Errorf("the server answered %s", resp.Status)
	}
	var status metav1.Status
	if json.Unmarshal(text, &status) == nil && status.Message != "" {
		text = []byte(status.Message)
	}
	if text = bytes.TrimSpace(text); len(text) == 0 {
		return errors.New("the server answered " + resp.Status)
	}
	return fmt.Errorf("the server answered %s: %q", resp.Status, text)
}

// begun is a connection of which something was read already.
type begun struct {
	net.Conn
	early []byte
}

// Read implements net.Conn.
func (b *begun) Read(p []byte) (int, error) {
	if len(b.early) > 0 {
		n := copy(p, b.early)
		b.early = b.early[n:]
		return n, nil
	}
	return b.Conn.Read(p)
}

// NetConn returns what is below, as a TLS connection does.
func (b *begun) NetConn() net.Conn { return wire.Below(b.Conn) }
