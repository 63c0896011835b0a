package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
)

// question is the datagram that is answered; others are sent back.
const question = "?"

// answer is what a client is told: who answers, and whom.
func answer(client string) string {
	name, _ := os.Hostname()
	host, _, _ := net.SplitHostPort(client)
	return fmt.Sprintf("%s answers %s\n", name, strings.TrimPrefix(host, "::ffff:"))
}

func listenAndServe(ctx context.Context, address string) error {
	udp, err := net.ListenPacket("udp", address)
	if err != nil {
		return err
	}
	tcp, err := net.Listen("tcp", address)
	if err != nil {
		udp.Close()
		return err
	}
	return serve(ctx, tcp, udp)
}

// serve answers until ctx ends, and closes what it answers on.
func serve(ctx context.Context, tcp net.Listener, udp net.PacketConn) error {
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			_, _ = io.Copy(w, r.Body)
			return
		}
		_, _ = io.WriteString(w, answer(r.RemoteAddr))
	})}
	context.AfterFunc(ctx, func() {
		server.Close()
		udp.Close()
	})
	go func() {
		for buffer := make([]byte, 1<<16); ; {
			n, from, err := udp.ReadFrom(buffer)
			if err != nil {
				return
			}
			said := buffer[:n]
			if string(said) == question {
				said = []byte(answer(from.String()))
			}
			_, _ = udp.WriteTo(said, from)
		}
	}()
	if err := server.Serve(tcp); ctx.Err() == nil {
		return err
	}
	return nil
}
