package tunnel_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"

	"skiff/server/tunnel"
	"skiff/server/tunnel/wire"
)

// TestSilence: an agent that vanishes without a word is noticed, at once by who
// dials it and soon by who does not; the agent notices as well and comes back.
func TestSilence(t *testing.T) {
	virtual(t, func(t *testing.T) {
		w := newWorld(t, &pipes{})
		cfg := w.agentOf("one", echo)
		cut := make(chan struct{})
		open := cfg.Dial
		cfg.Dial = func(ctx context.Context, server string, protocols ...string) (net.Conn, error) {
			conn, err := open(ctx, server, protocols...)
			if err != nil {
				return nil, err
			}
			return &cable{Conn: conn, cut: cut}, nil
		}
		w.run(cfg)
		conn := w.dial("one", "")
		time.Sleep(time.Hour)
		if got := ask(t, conn, "hello"); got != "hello" {
			t.Errorf("after an hour of silence of the stream: %q", got)
		}

		began := time.Now()
		close(cut)
		if _, err := w.server.Dial(t.Context(), "one", ""); err == nil || errors.Is(err, tunnel.ErrNoTunnel) {
			t.Errorf("dialling an agent that is not there: %v", err)
		} else if took := time.Since(began); took > wire.PingTimeout {
			t.Errorf("it took %v to say %v", took, err)
		}
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, wire.ErrLost) {
			t.Errorf("reading ended with %v", err)
		}
		if took := time.Since(began); took > wire.Silence+time.Second {
			t.Errorf("the end was noticed after %v", took)
		}
		if !w.server.Lost("one") {
			t.Error("the node counts as connected")
		}
	})
}

// TestServerRestarts: agents are back within about a second, without a word of it
// unless it takes long.
func TestServerRestarts(t *testing.T) {
	for _, tt := range []struct {
		away time.Duration
		log  []string
	}{
		{time.Second, nil},
		{3*time.Minute + 30*time.Second, []string{"no tunnel to the server", "no tunnel to the server", "no tunnel to the server", "no tunnel to the server", "tunnel is open again"}},
	} {
		virtual(t, func(t *testing.T) {
			w := newWorld(t, &pipes{})
			w.run(w.agentOf("one", echo))
			w.dial("one", "")
			time.Sleep(time.Minute)
			w.stop()
			time.Sleep(tt.away)
			w.start()
			began := time.Now()
			w.dial("one", "")
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("after %v away, the agent came after %v", tt.away, took)
			}
			synctest.Wait()
			var lines []string
			for line := range strings.Lines(w.log.String()) {
				lines = append(lines, line)
			}
			if len(lines) != len(tt.log) {
				t.Fatalf("after %v away, the log is\n%s", tt.away, w.log)
			}
			for i, want := range tt.log {
				if !strings.Contains(lines[i], want) {
					t.Errorf("line %d is %s, want %s", i, lines[i], want)
				}
			}
		})
	}
}

// TestTwins: two boxes with one node's certificate take turns, and not faster and
// faster.
func TestTwins(t *testing.T) {
	virtual(t, func(t *testing.T) {
		w := newWorld(t, &pipes{})
		w.run(w.agentOf("one", echo))
		w.run(w.agentOf("one", echo))
		time.Sleep(10 * time.Minute)
		if n := values(t, w.server)["skiff_tunnel_connected_total"]; n < 2 || n > 1200 {
			t.Errorf("%v tunnels in ten minutes", n)
		}
	})
}

// TestCut: a connection that is reset in the middle of a transfer ends it with an
// error at both ends.
func TestCut(t *testing.T) {
	w := newWorld(t, &loopback{})
	cfg := w.agentOf("one", echo)
	conns := make(chan net.Conn, 10)
	open := cfg.Dial
	cfg.Dial = func(ctx context.Context, server string, protocols ...string) (net.Conn, error) {
		conn, err := open(ctx, server, protocols...)
		if err == nil {
			conns <- conn
		}
		return conn, err
	}
	w.run(cfg)
	conn := w.dial("one", "")
	go func() { _, _ = io.Copy(conn, endless{}) }()
	if _, err := io.ReadFull(conn, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	tcp := wire.Below(<-conns).(*net.TCPConn)
	_ = tcp.SetLinger(0)
	_ = tcp.Close()
	if _, err := io.Copy(io.Discard, conn); !errors.Is(err, wire.ErrLost) {
		t.Errorf("reading ended with %v", err)
	}
	if got := ask(t, w.dial("one", ""), "again"); got != "again" {
		t.Errorf("after that: %q", got)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestGarbage: who speaks anything but yamux after the upgrade loses the connection.
func TestGarbage(t *testing.T) { virtual(t, testGarbage) }

func testGarbage(t *testing.T) {
	w := newWorld(t, &pipes{})
	cfg := w.agentOf("one", echo)
	for name, garbage := range map[string]string{
		"text": strings.Repeat("hello ", 100), "bad version": "\x09\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		"bad type": "\x00\x09\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", "too much data": "\x00\x00\x00\x01\x00\x00\x00\x01\xff\xff\xff\xff",
	} {
		conn, err := cfg.Dial(t.Context(), "server:6443", "http/1.1")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, "GET "+wire.Path+" HTTP/1.1\r\nHost: server\r\nConnection: upgrade\r\nUpgrade: "+wire.Protocol+"\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		buffer := bufio.NewReader(conn)
		resp, err := http.ReadResponse(buffer, nil)
		if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("%v, %v", resp, err)
		}
		go func() { _, _ = io.WriteString(conn, garbage) }()
		_, _ = io.Copy(io.Discard, buffer) // ends when the server ends it
		_ = conn.Close()
		if _, err := w.server.Dial(t.Context(), "one", ""); err == nil {
			t.Errorf("%s: dialling went well", name)
		}
	}
	w.run(cfg)
	w.dial("one", "")
}

// TestWho: a tunnel is a node's own, by its certificate.
func TestWho(t *testing.T) {
	certs := newCertificates(t)
	cert := certs.node(t, "one")
	node := &user.DefaultInfo{Name: "system:node:one", Groups: []string{"system:nodes", "system:authenticated"}}
	for _, tt := range []struct {
		name string
		user user.Info
		cert bool
		edit func(*http.Request)
		code int
		text string
	}{
		{"nobody", nil, true, nil, 403, "tunnels are for nodes, and this request has no user"},
		{"a person", &user.DefaultInfo{Name: "jane", Groups: []string{"system:masters"}}, true, nil, 403, `tunnels are for nodes, and user "jane" is none`},
		{"a node's name without its group", &user.DefaultInfo{Name: "system:node:one"}, true, nil, 403, `and user "system:node:one" is none`},
		{"no name", &user.DefaultInfo{Name: "system:node:", Groups: []string{"system:nodes"}}, true, nil, 403, `and user "system:node:" is none`},
		{"a token", node, false, nil, 403, `a tunnel needs the client certificate of node "one"`},
		{"another node's certificate", &user.DefaultInfo{Name: "system:node:two", Groups: []string{"system:nodes"}}, true, nil, 403, `a tunnel needs the client certificate of node "two"`},
		{"no upgrade", node, true, func(r *http.Request) { r.Header.Del("Upgrade") }, 426, "upgrade to skiff-tunnel/1 is required"},
		{"another protocol", node, true, func(r *http.Request) { r.Header.Set("Upgrade", "websocket") }, 426, "upgrade to skiff-tunnel/1 is required"},
		{"HTTP/2", node, true, func(r *http.Request) { r.ProtoMajor = 2 }, 426, "over HTTP/1.1"},
		{"another method", node, true, func(r *http.Request) { r.Method = http.MethodPost }, 426, "over HTTP/1.1"},
		{"what cannot be upgraded", node, true, nil, 500, "the connection cannot be upgraded"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, wire.Path, nil)
		r.Header.Set("Connection", "keep-alive, upgrade")
		r.Header.Set("Upgrade", wire.Protocol)
		if tt.user != nil {
			r = r.WithContext(request.WithUser(r.Context(), tt.user))
		}
		r.TLS = &tls.ConnectionState{}
		if tt.cert {
			r.TLS.PeerCertificates = append(r.TLS.PeerCertificates, cert.Leaf)
		}
		if tt.edit != nil {
			tt.edit(r)
		}
		answer := httptest.NewRecorder()
		tunnel.New(slog.New(slog.DiscardHandler)).ServeHTTP(answer, r)
		if answer.Code != tt.code || !strings.Contains(answer.Body.String(), tt.text) {
			t.Errorf("%s: got %d %s, want %d %s", tt.name, answer.Code, answer.Body, tt.code, tt.text)
		}
	}
}
