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
	for _, args := range [][]string{{"echo", udp.LocalAddr().String(), "1400", "whole"}, {"echo", udp.LocalAddr().String(), "9000"}, {"transfer", tcp.Addr().String(), "3000000"}} {
		var out bytes.Buffer
		if err := run(ctx, args, &out); err != nil || out.String() != args[2]+" bytes\n" {
			t.Errorf("%q: %q, %v", args, out.String(), err)
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

// TestLoad counts the questions that nobody answers, and asks one at least.
func TestLoad(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	asked := make(chan struct{})
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			conn.Close()
		}
		listener.Close()
		stop()
		close(asked)
	}()
	var out bytes.Buffer
	if err := run(ctx, []string{"load", "http", listener.Addr().String()}, &out); err == nil || strings.HasSuffix(out.String(), " 0 failed\n") {
		t.Errorf("a load that nobody answers: %q, %v", out.String(), err)
	}
	<-asked
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"ask", "http"}, {"ask", "tcp", "127.0.0.1:1"}, {"ask", "udp", "127.0.0.1:1", "x"}, {"lookup", "mx", "a"}, {"load", "tcp", "127.0.0.1:1"}, {"echo", "127.0.0.1:1", "10", "half"}, {"transfer", "127.0.0.1:1", "x"}, {"serve", "8080"}} {
		if err := run(t.Context(), args, &bytes.Buffer{}); err == nil {
			t.Errorf("%q is accepted", args)
		}
	}
}
