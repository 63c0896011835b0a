package overlay

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netns"

	"skiff/netnstest"
)

// TestConnectionsStay: a pod's connection to one of another node goes on while the
// mode changes, also if it is used when only one of them has the new one.
func TestConnectionsStay(t *testing.T) {
	netnstest.Enter(t)
	here, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	a, b := node{"a", "192.0.2.1", "10.42.0.0/24"}, node{"b", "192.0.2.2", "10.42.1.0/24"}
	remote := make(chan *Overlay, 1)
	echoes := make(chan net.Listener, 1)
	go func() {
		defer close(remote)
		netnstest.Enter(t) // another thread, another namespace
		o := b.start(t, VXLAN, a, here)
		l, err := net.Listen("tcp4", b.pod()+":0")
		if err != nil {
			t.Error(err)
			return
		}
		echoes <- l
		remote <- o
	}()
	overB := <-remote
	if overB == nil {
		return // it has told why
	}
	server := <-echoes
	defer server.Close()
	go func() {
		if conn, err := server.Accept(); err == nil {
			_, _ = io.Copy(conn, conn) // until the client closes it
			_ = conn.Close()
		}
	}()
	overA := a.start(t, VXLAN, b, netns.None())
	client := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(a.pod())}, Timeout: 30 * time.Second}
	conn, err := client.Dial("tcp4", server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, m := range []Mode{HostGW, VXLAN, HostGW} {
		follows(t, overA, m)
		text := "to " + string(m)
		if _, err := io.WriteString(conn, text); err != nil { // B is not there yet
			t.Fatal(err)
		}
		follows(t, overB, m)
		_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := io.ReadFull(conn, make([]byte, len(text))); err != nil {
			t.Fatalf("the connection ended on the way to %s: %v", m, err)
		}
	}
}

func follows(t *testing.T, o *Overlay, m Mode) {
	t.Helper()
	if err := errors.Join(o.SetMode(m), o.sync(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// TestCannotFollow: what there is goes on if the kernel cannot do what is asked for,
// and that is told.
func TestCannotFollow(t *testing.T) {
	var told []string
	o, err := New(Config{
		NodeName: "a", Mode: VXLAN, Link: testLink, OnProblem: func(p string) { told = append(told, p) },
		Logger: slog.New(slog.DiscardHandler),
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	k := newFake(Underlay{})
	o.kernel = k
	o.learn(node{"a", "192.0.2.1", "10.42.0.0/24"}.overlayNode())
	o.learn(node{"b", "192.0.2.2", "10.42.1.0/24"}.overlayNode())
	follows(t, o, VXLAN)
	before := strings.Join(k.state.Lines(), "\n")
	if err := o.SetMode(WireGuard); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := o.sync(t.Context()); !errors.Is(err, ErrUnsupported) {
			t.Fatalf("a fake has no wireguard: %v", err)
		}
	}
	if after := strings.Join(k.state.Lines(), "\n"); after != before || len(told) != 1 || !strings.Contains(told[0], "vxlan goes on") {
		t.Errorf("told %q, there was\n%s\nand is\n%s", told, before, after)
	}
}
