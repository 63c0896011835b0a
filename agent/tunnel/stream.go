package tunnel

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"skiff/server/tunnel/wire"
)

const (
	// requestTime is how long a stream may take to say what it is for.
	requestTime = 10 * time.Second
	// dialTime is how long a connection in the node may take; the server waits
	// longer than that.
	dialTime = 5 * time.Second
)

// handle serves one stream to its end.
func (c *Config) handle(ctx context.Context, stream *wire.Stream) {
	defer stream.Close()
	_ = stream.SetDeadline(time.Now().Add(requestTime)) // never fails
	to, err := wire.ReadRequest(stream)
	if err != nil {
		c.Log.Debug("bad request through the tunnel", "err", err)
		return
	}
	conn, code, err := c.dial(ctx, to)
	text := ""
	if err != nil {
		text = err.Error()
	}
	if err := wire.WriteAnswer(stream, code, text); err != nil {
		c.Log.Debug("request through the tunnel not answered", "err", err)
	}
	if conn == nil {
		return
	}
	_ = stream.SetDeadline(time.Time{}) // never fails
	join(stream, conn)
}

// dial connects to what the server asks for.
func (c *Config) dial(ctx context.Context, to netip.AddrPort) (net.Conn, wire.Code, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	var conn net.Conn
	var err error
	switch {
	case !to.IsValid():
		conn, err = c.NodeAPI(ctx)
	case !c.Allow(to):
		return nil, wire.NotAllowed, fmt.Errorf("%s is not an address of this node or its pods", to.Addr())
	default:
		conn, err = c.Connect(ctx, "tcp", to.String())
	}
	if err != nil {
		return nil, wire.Failed, err
	}
	return conn, wire.Connected, nil
}

// join passes bytes between a stream and a connection in the node. What the node
// closes for writing is passed on as that; the server's close ends all.
func join(stream *wire.Stream, conn net.Conn) {
	var toServer sync.WaitGroup
	toServer.Go(func() {
		_, _ = io.Copy(onlyWriter{stream}, onlyReader{conn}) // either end closed, or broke: it is over
		_ = stream.CloseWrite()                              // the session's end is noticed below
	})
	_, err := io.Copy(onlyWriter{conn}, onlyReader{stream})
	if err != nil {
		// The pod reads no more. What it wrote is still on its way; the server
		// closes when it has that.
		_, _ = io.Copy(io.Discard, onlyReader{stream})
	}
	_ = stream.SetDeadline(wire.Past) // never fails
	_ = conn.Close()                  // both ends are done
	toServer.Wait()
}

// onlyReader and onlyWriter keep io.Copy from the ways that connections have for
// copying among their own kind, which would not serve here.
type (
	onlyReader struct{ io.Reader }
	onlyWriter struct{ io.Writer }
)
