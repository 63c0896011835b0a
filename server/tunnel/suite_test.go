package tunnel_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"skiff/server/tunnel"
	"skiff/server/tunnel/wire"
)

// TestSuite: what a tunnel does on any network.
func TestSuite(t *testing.T) {
	for _, tt := range []struct {
		name string
		test func(*testing.T, *world)
	}{
		{"dial", testDial}, {"many streams", testManyStreams}, {"stalled reader", testStalledReader},
		{"server closes", testServerCloses}, {"node closes", testNodeCloses}, {"replaced", testReplaced}, {"agent ends", testAgentEnds},
	} {
		t.Run(tt.name+" over TCP", func(t *testing.T) { tt.test(t, newWorld(t, &loopback{})) })
		t.Run(tt.name+" in memory", func(t *testing.T) {
			virtual(t, func(t *testing.T) { tt.test(t, newWorld(t, &pipes{})) })
		})
	}
}

func testDial(t *testing.T, w *world) {
	w.run(w.agentOf("one", echo))
	for _, addr := range []string{"", "10.42.0.5:80"} {
		conn := w.dial("one", addr)
		if got := ask(t, conn, "hello"); got != "hello" {
			t.Errorf("%q: got %q", addr, got)
		}
		want := "one"
		if addr != "" {
			want += "/" + addr
		}
		if got := conn.RemoteAddr(); got.String() != want || got.Network() != "tunnel" {
			t.Errorf("the other end is %v, want %s", got, want)
		}
	}
	for _, tt := range []struct {
		node, addr, err string
		is              error
	}{
		{"two", "", `node "two" is not connected: no tunnel`, tunnel.ErrNoTunnel},
		{"one", "10.43.0.1:443", `dial 10.43.0.1:443 through the tunnel of node "one": 10.43.0.1 is not an address of this node or its pods`, nil},
		{"one", "10.42.0.9:80", `dial 10.42.0.9:80 through the tunnel of node "one": connection refused`, nil},
		{"one", "web:80", `dial node "one": ParseAddr("web"): unable to parse IP`, nil},
	} {
		_, err := w.server.Dial(t.Context(), tt.node, tt.addr)
		if err == nil || err.Error() != tt.err || tt.is != nil && !errors.Is(err, tt.is) {
			t.Errorf("%s %s: got %v, want %s", tt.node, tt.addr, err, tt.err)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.server.Dial(gone, "one", ""); !errors.Is(err, context.Canceled) {
		t.Errorf("for a caller that is gone: %v", err)
	}
}

func testManyStreams(t *testing.T, w *world) {
	w.run(w.agentOf("one", echo))
	w.dial("one", "")
	sent := make([]byte, 300<<10)
	_, _ = rand.Read(sent)
	var all sync.WaitGroup
	for range 40 {
		all.Go(func() {
			conn, err := w.server.Dial(t.Context(), "one", "10.42.0.5:80")
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			go conn.Write(sent)
			got := make([]byte, len(sent))
			if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, sent) {
				t.Errorf("what came back is not what was sent: %v", err)
			}
		})
	}
	all.Wait()
}

// testStalledReader: somebody who reads no more of what a pod sends and sends
// holds up nobody else.
func testStalledReader(t *testing.T, w *world) {
	ended := make(chan struct{})
	w.run(w.agentOf("one", func(c net.Conn) {
		first := make([]byte, 1)
		if _, err := io.ReadFull(c, first); err != nil || first[0] != 'f' {
			_, _ = c.Write(first)
			echo(c)
			return
		}
		for chunk := make([]byte, 64<<10); ; {
			if _, err := c.Write(chunk); err != nil {
				close(ended)
				return
			}
		}
	}))
	stalled := w.dial("one", "10.42.0.5:80")
	if _, err := stalled.Write([]byte("f")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(stalled, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	other := w.dial("one", "10.42.0.6:80")
	for range 100 {
		if got := ask(t, other, strings.Repeat("x", 10000)); len(got) != 10000 {
			t.Fatalf("%d bytes came back", len(got))
		}
	}
	select {
	case <-ended:
		t.Error("the pod that sends was cut off")
	default:
	}
	_ = stalled.Close()
	<-ended // the pod learns that nobody is there
}

// testServerCloses: Close ends both directions, here and in the pod.
func testServerCloses(t *testing.T, w *world) {
	ended := make(chan error, 1)
	w.run(w.agentOf("one", func(c net.Conn) {
		_, err := io.Copy(io.Discard, c)
		ended <- err
	}))
	conn := w.dial("one", "")
	read := make(chan error, 1)
	go func() {
		_, err := conn.Read(make([]byte, 1))
		read <- err
	}()
	if _, err := conn.Write([]byte("bye")); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if err := <-read; !errors.Is(err, net.ErrClosed) {
		t.Errorf("reading ended with %v", err)
	}
	if _, err := conn.Write([]byte("more")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("writing afterwards: %v", err)
	}
	if err := <-ended; err != nil {
		t.Errorf("the pod got %v, want the end", err)
	}
	if _, half := conn.(interface{ CloseWrite() error }); half {
		t.Error("a connection that cannot be half closed offers it")
	}
}

// testNodeCloses: what a pod sent before it closed arrives, then the end.
func testNodeCloses(t *testing.T, w *world) {
	w.run(w.agentOf("one", func(c net.Conn) { _, _ = io.WriteString(c, strings.Repeat("bye", 100000)) }))
	got, err := io.ReadAll(w.dial("one", ""))
	if err != nil || len(got) != 300000 {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

// testReplaced: the newest tunnel of a node counts, and what used the older one
// learns that it is over.
func testReplaced(t *testing.T, w *world) {
	says := func(word string) func(net.Conn) {
		return func(c net.Conn) {
			_, _ = io.WriteString(c, word)
			_, _ = io.Copy(io.Discard, c)
		}
	}
	stop := w.run(w.agentOf("one", says("old")))
	old := w.dial("one", "")
	if got := read(t, old, 3); got != "old" {
		t.Fatal(got)
	}
	w.run(w.agentOf("one", says("new")))
	if _, err := old.Read(make([]byte, 1)); !errors.Is(err, wire.ErrLost) {
		t.Errorf("the stream of the old tunnel ended with %v", err)
	}
	stop()
	if got := read(t, w.dial("one", ""), 3); got != "new" {
		t.Errorf("after the new one came: %q", got)
	}
	if got := w.server.Nodes(); len(got) != 1 || got[0] != "one" || w.server.Lost("one") {
		t.Errorf("connected: %v", got)
	}
}

// testAgentEnds: a stream that breaks is no end of what was sent.
func testAgentEnds(t *testing.T, w *world) {
	stop := w.run(w.agentOf("one", echo))
	conn := w.dial("one", "")
	if got := ask(t, conn, "half"); got != "half" {
		t.Fatal(got)
	}
	stop()
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, wire.ErrLost) {
		t.Errorf("reading ended with %v", err)
	}
	if _, err := conn.Write([]byte("x")); !errors.Is(err, wire.ErrLost) {
		t.Errorf("writing ended with %v", err)
	}
	if _, err := w.server.Dial(t.Context(), "one", ""); !errors.Is(err, tunnel.ErrNoTunnel) || !w.server.Lost("one") || w.server.Lost("two") {
		t.Errorf("dialling ended with %v", err)
	}
}

// ask sends text and returns as much of the answer.
func ask(t *testing.T, c net.Conn, text string) string {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return read(t, c, len(text))
}

func read(t *testing.T, c net.Conn, n int) string {
	t.Helper()
	got := make([]byte, n)
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatal(err)
	}
	return string(got)
}
