package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"strings"
	"testing"
)

func TestServeAndAsk(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- serve(ctx, tcp, udp) }()
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for network, address := range map[string]net.Addr{"http": tcp.Addr(), "udp": udp.LocalAddr()} {
		var out bytes.Buffer
		if err := run(ctx, []string{"ask", network, address.String(), "2"}, &out); err != nil {
			t.Errorf("%s: %v", network, err)
		}
		if want := strings.Repeat(name+" answers 127.0.0.1\n", 2); out.String() != want {
			t.Errorf("%s: %q, want %q", network, out.String(), want)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("the server ended with %v", err)
	}
	if err := run(t.Context(), []string{"ask", "http", tcp.Addr().String()}, &bytes.Buffer{}); err == nil {
		t.Error("a server that ended still answers")
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"ask", "http"}, {"ask", "tcp", "127.0.0.1:1"}, {"ask", "udp", "127.0.0.1:1", "x"}, {"lookup", "mx", "a"}, {"serve", "8080"}} {
		if err := run(t.Context(), args, &bytes.Buffer{}); err == nil {
			t.Errorf("%q is accepted", args)
		}
	}
}
