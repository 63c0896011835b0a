package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"
)

// patience bounds what takes many packets.
const patience = time.Minute

// echo sends a datagram of so many bytes, until it comes back as it was.
func echo(ctx context.Context, out io.Writer, address string, size int, whole bool) error {
	dialer := net.Dialer{Timeout: timeout}
	if whole {
		dialer.Control = func(_, _ string, c syscall.RawConn) error { return forbidFragments(c) }
	}
	conn, err := dialer.DialContext(ctx, "udp4", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	sent := pattern(size)
	if _, err := conn.Write(sent); err != nil {
		return err
	}
	back := make([]byte, size+1)
	n, err := conn.Read(back)
	if err != nil {
		return err
	}
	return compare(out, sent, back[:n])
}

func forbidFragments(c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_MTU_DISCOVER, syscall.IP_PMTUDISC_DO)
	})
	return errors.Join(err, failed)
}

func transfer(ctx context.Context, out io.Writer, address string, size int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	sent := pattern(size)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/", bytes.NewReader(sent))
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	back, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	return compare(out, sent, back)
}

// pattern is so many bytes, in which none is like those at a small distance.
func pattern(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

func compare(out io.Writer, sent, back []byte) error {
	if !bytes.Equal(sent, back) {
		return fmt.Errorf("of %d bytes that were sent %d came back, or not as they were", len(sent), len(back))
	}
	fmt.Fprintf(out, "%d bytes\n", len(back))
	return nil
}
