// Package tunnel is the agent's end of a tunnel: it keeps one connection to a server
// open, by which the server reaches the node's API and its pods. The other end, and
// what is spoken, are in server/tunnel and server/tunnel/wire.
//
//	err := tunnel.Run(ctx, tunnel.Config{Servers: member.Servers, Dial: member.Dial, ...})   // until ctx ends
package tunnel

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/yamux"

	"skiff/server/tunnel/wire"
)

// Config says where a tunnel leads to, at both ends.
type Config struct {
	// Servers are HOST:PORT of servers. One of them is enough: they are tried in
	// turn.
	Servers func() []string
	// Dial connects to a server over TLS, checks it, and shows it the node's
	// certificate; protocols are those of ALPN.
	Dial func(ctx context.Context, server string, protocols ...string) (net.Conn, error)
	// NodeAPI connects to the node's own API.
	NodeAPI func(ctx context.Context) (net.Conn, error)
	// Allow tells which addresses the server may connect to: those of the node's
	// pods and the node's own.
	Allow func(netip.AddrPort) bool
	// Connect connects to an allowed address; nil is a net.Dialer's way.
	Connect func(ctx context.Context, network, address string) (net.Conn, error)
	// Away tells that the servers do not answer at all, which is told elsewhere; nil
	// is never.
	Away func() bool
	Log  *slog.Logger
}

const (
	// connectTime bounds an attempt to reach a server.
	connectTime = 10 * time.Second
	// A server that restarts is found again within about a second; one that is
	// away for longer is not flooded by a thousand nodes when it comes back.
	firstPause, longestPause = 100 * time.Millisecond, 2 * time.Second
	// lasting is after what time a tunnel has been good, so that the next pause is
	// the first one again. Two boxes with one node's certificate replace each
	// other's tunnel all the time.
	lasting = 10 * time.Second
	// remindAfter is how often a server that cannot be reached is complained of.
	remindAfter = time.Minute
)

// Run keeps a tunnel open until ctx ends, and returns its error. Connections through
// the tunnel end with it.
func Run(ctx context.Context, cfg Config) error {
	if cfg.Connect == nil {
		cfg.Connect = (&net.Dialer{}).DialContext
	}
	r := &runner{cfg: cfg}
	pause := firstPause
	for {
		begin := time.Now()
		err := r.once(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.complain(err)
		if time.Since(begin) > lasting {
			pause = firstPause
		}
		// Between half of it and all, at random: a server's nodes do not all come
		// at the same moment.
		timer := time.NewTimer(pause/2 + rand.N(pause/2))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		pause = min(2*pause, longestPause)
	}
}

// runner is a tunnel that comes and goes.
type runner struct {
	cfg  Config
	next int // the server to try
	// down is since when there is no tunnel, and told when that was said; zero if
	// there is one, or it was not.
	down, told time.Time
}

// errEnded is the error of a tunnel that was there.
var errEnded = errors.New("the connection ended")

// once opens the tunnel and serves it to its end.
func (r *runner) once(ctx context.Context) error {
	servers := r.cfg.Servers()
	if len(servers) == 0 {
		return errors.New("no server is known")
	}
	r.next %= len(servers)
	session, err := r.cfg.connect(ctx, servers[r.next])
	if err != nil {
		r.next++
		return err
	}
	if !r.told.IsZero() {
		r.cfg.Log.Info("tunnel is open again", "server", servers[r.next], "after", time.Since(r.down).Round(time.Second))
	}
	r.down, r.told = time.Time{}, time.Time{}
	r.cfg.serve(ctx, session)
	return errEnded
}

// complain says once a minute that there is no tunnel. A tunnel that comes back at
// once, as after a server's restart, is not worth a line.
func (r *runner) complain(err error) {
	now := time.Now()
	if r.down.IsZero() {
		r.down = now
	}
	away := r.cfg.Away != nil && r.cfg.Away()
	if away || now.Sub(r.down) < longestPause || now.Sub(r.told) < remindAfter {
		r.cfg.Log.Debug("tunnel", "err", err)
		return
	}
	r.told = now
	r.cfg.Log.Warn("no tunnel to the server, trying on: logs, exec and metrics of this node's pods are out of its reach",
		"err", err, "since", r.down.UTC().Format(time.RFC3339))
}

// serve answers what the server opens, until the session or ctx ends.
func (c *Config) serve(ctx context.Context, session *yamux.Session) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = session.Close() }) // never fails
	defer stop()
	var streams sync.WaitGroup
	for {
		s, err := session.AcceptStream()
		if err != nil {
			break
		}
		streams.Go(func() { c.handle(ctx, wire.NewStream(s)) })
	}
	_ = session.Close() // never fails
	cancel()
	streams.Wait()
}
