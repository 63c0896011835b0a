package tunnel

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/yamux"

	"skiff/server/tunnel/wire"
)

// TestRefusals: a server that says no is quoted, in one line.
func TestRefusals(t *testing.T) {
	status := `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"Unauthorized","code":401}`
	for _, tt := range []struct{ answer, err string }{
		{"HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\n" + status, `the server answered 401 Unauthorized: "Unauthorized"`},
		{"HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\ntunnels are\nfor nodes\n", `the server answered 403 Forbidden: "tunnels are\nfor nodes"`},
		{"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", "the server answered 503 Service Unavailable"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "the server answered 200 OK"},
		{"SSH-2.0-OpenSSH_10\r\n", `malformed HTTP response "SSH-2.0-OpenSSH_10"`},
		{"", "unexpected EOF"},
	} {
		here, there := net.Pipe()
		go func() {
			defer there.Close()
			if _, err := http.ReadRequest(bufio.NewReader(there)); err != nil {
				t.Error(err)
			}
			_, _ = io.WriteString(there, tt.answer)
		}()
		c := &Config{Dial: func(context.Context, string, ...string) (net.Conn, error) { return here, nil }, Log: slog.New(slog.DiscardHandler)}
		_, err := c.connect(t.Context(), "192.0.2.1:6443")
		if err == nil || !strings.HasPrefix(err.Error(), "open a tunnel to 192.0.2.1:6443: ") || !strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: got %v", tt.answer, err)
		}
		if _, err := here.Read(make([]byte, 1)); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%q: the connection was left open: %v", tt.answer, err)
		}
	}
}

// TestMuteServer: a server that takes the connection and says nothing is given up,
// and another one is tried.
func TestMuteServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var tried []string
		err := Run(ctx, Config{
			Servers: func() []string { return []string{"one:6443", "two:6443"} },
			Dial: func(_ context.Context, server string, _ ...string) (net.Conn, error) {
				if tried = append(tried, server); len(tried) == 4 {
					cancel()
				}
				here, there := net.Pipe()
				go func() {
					_, _ = io.Copy(io.Discard, there)
					_ = there.Close()
				}()
				return here, nil
			},
			Log: slog.New(slog.DiscardHandler),
		})
		if !errors.Is(err, context.Canceled) || strings.Join(tried, " ") != "one:6443 two:6443 one:6443 two:6443" {
			t.Errorf("tried %v, ended with %v", tried, err)
		}
		if took := time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)); took > 4*connectTime {
			t.Errorf("took %v", took)
		}
	})
}

// ends are both ends of a tunnel without a server around it.
func ends(t *testing.T, c Config) *yamux.Session {
	t.Helper()
	here, there := net.Pipe()
	server, err := wire.ServerSession(here, c.Log, nil)
	if err != nil {
		t.Fatal(err)
	}
	agent, err := wire.AgentSession(there, c.Log)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.serve(context.Background(), agent)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return server
}

// open opens a stream to addr.
func open(t *testing.T, session *yamux.Session, addr string) *wire.Stream {
	t.Helper()
	raw, err := session.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	s := wire.NewStream(raw)
	if err := wire.WriteRequest(s, netip.MustParseAddrPort(addr)); err != nil {
		t.Fatal(err)
	}
	if err := wire.ReadAnswer(s); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestPodHalfCloses: a pod that has sent all still gets what comes.
func TestPodHalfCloses(t *testing.T) {
	pod, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pod.Close()
	heard := make(chan string, 1)
	go func() {
		conn, err := pod.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "that is all")
		_ = conn.(*net.TCPConn).CloseWrite()
		text, _ := io.ReadAll(conn)
		heard <- string(text)
	}()
	session := ends(t, Config{
		Allow: func(netip.AddrPort) bool { return true }, Connect: (&net.Dialer{}).DialContext, Log: slog.New(slog.DiscardHandler),
	})
	s := open(t, session, pod.Addr().String())
	if text, err := io.ReadAll(s); err != nil || string(text) != "that is all" {
		t.Errorf("the pod said %q, %v", text, err)
	}
	for range 20 {
		if _, err := io.WriteString(s, strings.Repeat("thanks ", 10000)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if text := <-heard; len(text) != 20*70000 {
		t.Errorf("the pod heard %d bytes", len(text))
	}
}

// TestPodStopsReading: a pod that closes while more is sent does not hold up who
// sends, and what it had said arrives.
func TestPodStopsReading(t *testing.T) {
	session := ends(t, Config{
		Allow: func(netip.AddrPort) bool { return true },
		Connect: func(context.Context, string, string) (net.Conn, error) {
			here, there := net.Pipe()
			go func() {
				_, _ = io.WriteString(there, "enough")
				_ = there.Close()
			}()
			return here, nil
		},
		Log: slog.New(slog.DiscardHandler),
	})
	s := open(t, session, "10.42.0.5:80")
	sent := make(chan error, 1)
	go func() {
		_, err := s.Write(make([]byte, 4<<20)) // more than a window
		sent <- err
	}()
	if text, err := io.ReadAll(s); err != nil || string(text) != "enough" {
		t.Errorf("the pod said %q, %v", text, err)
	}
	if err := <-sent; err != nil {
		t.Errorf("sending ended with %v", err)
	}
	_ = s.Close()
}

// TestBadRequest: a stream that does not say what it is for is closed.
func TestBadRequest(t *testing.T) {
	session := ends(t, Config{Log: slog.New(slog.DiscardHandler)})
	raw, err := session.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	s := wire.NewStream(raw)
	if _, err := io.WriteString(s, "GET / HTTP/1.1\r\n\r\n"+strings.Repeat("x", 300)); err != nil {
		t.Fatal(err)
	}
	if err := wire.ReadAnswer(s); err == nil || !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
}
