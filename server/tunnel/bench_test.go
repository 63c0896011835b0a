package tunnel_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"skiff/server/tunnel/wire"
)

// BenchmarkIdleTunnels tells what each of many tunnels that wait costs a server in
// memory and goroutines. Agents are of the same process, with as little as keeps a
// tunnel open: TLS's own state, theirs as well, is in the figure.
//
//	go test -run '^$' -bench IdleTunnels -benchtime 1000x ./server/tunnel
func BenchmarkIdleTunnels(b *testing.B) {
	w := newWorld(b, &loopback{})
	conns := make([]net.Conn, 0, b.N)
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	goroutines, before := runtime.NumGoroutine(), inUse()
	begun := time.Now()
	for i := range b.N {
		c := w.agentOf(fmt.Sprint("node-", i), echo)
		conn, err := c.Dial(context.Background(), "server:6443", "http/1.1")
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.WriteString(conn, "GET "+wire.Path+" HTTP/1.1\r\nHost: server\r\nConnection: upgrade\r\nUpgrade: "+wire.Protocol+"\r\n\r\n"); err != nil {
			b.Fatal(err)
		}
		// Up to the end of the first frame, which comes after all else.
		if _, err := io.ReadFull(conn, make([]byte, len("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+wire.Protocol+"\r\n\r\n")+12)); err != nil {
			b.Fatal(err)
		}
		conns = append(conns, conn)
	}
	took := time.Since(begun)
	after := inUse()
	if n := len(w.server.Nodes()); n != b.N {
		b.Fatalf("%d tunnels", n)
	}
	b.ReportMetric(float64(after-before)/float64(b.N), "B/tunnel")
	b.ReportMetric(float64(runtime.NumGoroutine()-goroutines)/float64(b.N), "goroutines/tunnel")
	b.ReportMetric(float64(took.Microseconds())/float64(b.N), "µs/connect")
}

// inUse is the memory of heap and stacks that is in use.
func inUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// BenchmarkStream tells how fast one stream is, from a pod to a reader, on loopback
// with TLS.
func BenchmarkStream(b *testing.B) {
	w := newWorld(b, &loopback{})
	w.run(w.agentOf("one", func(c net.Conn) { _, _ = io.Copy(c, endless{}) }))
	conn := w.dial("one", "10.42.0.5:80")
	const chunk = 1 << 20
	b.SetBytes(chunk)
	buffer := make([]byte, 32<<10)
	for b.Loop() {
		for got := 0; got < chunk; {
			n, err := conn.Read(buffer)
			if err != nil {
				b.Fatal(err)
			}
			got += n
		}
	}
}
