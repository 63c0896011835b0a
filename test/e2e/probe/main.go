// Command probe is what the containers of the end-to-end tests run to be reached,
// and to reach others.
//
//	probe serve                     answers HTTP and UDP on $PORT (8080) with its
//	                                host name and the client's address
//	probe ask http|udp HOST:PORT [TIMES]
//	                                prints an answer for each new connection
//	probe load http|udp HOST:PORT   asks until SIGTERM, and prints how often and
//	                                how often there was no answer
//	probe echo HOST:PORT BYTES [whole]
//	                                sends a datagram and gets it back; one that is
//	                                whole may not be cut into fragments on its way
//	probe transfer HOST:PORT BYTES  sends so much over TCP and gets it back
//	probe lookup host|srv|ptr NAME  prints what the resolver answers, sorted
//	probe webhook NAME              is an admission webhook, and prints its certificate
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// timeout bounds one question.
const timeout = 3 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

const usage = "usage: probe serve | ask http|udp HOST:PORT [TIMES] | load http|udp HOST:PORT | echo HOST:PORT BYTES [whole] | transfer HOST:PORT BYTES | lookup host|srv|ptr NAME | webhook NAME"

func run(ctx context.Context, args []string, out io.Writer) error {
	command, args := split(args)
	switch n := len(args); {
	case command == "serve" && n == 0:
		port := os.Getenv("PORT")
		if port == "" {
			port = "8080"
		}
		return listenAndServe(ctx, ":"+port)
	case command == "ask" && n == 2:
		return ask(ctx, out, args[0], args[1], 1)
	case command == "ask" && n == 3:
		return number(args[2], func(times int) error { return ask(ctx, out, args[0], args[1], times) })
	case command == "load" && n == 2:
		return load(ctx, out, args[0], args[1])
	case command == "echo" && (n == 2 || n == 3 && args[2] == "whole"):
		return number(args[1], func(size int) error { return echo(ctx, out, args[0], size, n == 3) })
	case command == "transfer" && n == 2:
		return number(args[1], func(size int) error { return transfer(ctx, out, args[0], size) })
	case command == "lookup" && n == 2:
		return lookup(ctx, out, args[0], args[1])
	case command == "webhook" && n == 1:
		return webhook(ctx, out, args[0])
	}
	return errors.New(usage)
}

func split(args []string) (string, []string) {
	if len(args) == 0 {
		return "", nil
	}
	return args[0], args[1:]
}

// number calls f with the number that is written.
func number(text string, f func(int) error) error {
	n, err := strconv.Atoi(text)
	if err != nil {
		return err
	}
	return f(n)
}

// questions are the ways to ask, each over a connection of its own.
var questions = map[string]func(ctx context.Context, address string) (string, error){"http": askHTTP, "udp": askUDP}

func ask(ctx context.Context, out io.Writer, network, address string, times int) error {
	question := questions[network]
	if question == nil {
		return fmt.Errorf("ask: %q is neither http nor udp", network)
	}
	for range times {
		got, err := question(ctx, address)
		if err != nil {
			return err
		}
		io.WriteString(out, got)
	}
	return nil
}

func askHTTP(ctx context.Context, address string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", nil)
	if err != nil {
		return "", err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return string(body), err
}

func askUDP(ctx context.Context, address string) (string, error) { return askUDPFrom(ctx, 0, address) }

// askUDPFrom asks from a port of its own, which the kernel chooses if it is 0.
func askUDPFrom(ctx context.Context, port int, address string) (string, error) {
	dialer := net.Dialer{Timeout: timeout, LocalAddr: &net.UDPAddr{Port: port}}
	conn, err := dialer.DialContext(ctx, "udp", address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, question); err != nil {
		return "", err
	}
	buffer := make([]byte, 512)
	n, err := conn.Read(buffer)
	return string(buffer[:n]), err
}

func lookup(ctx context.Context, out io.Writer, kind, name string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*timeout)
	defer cancel()
	var found []string
	var err error
	switch kind {
	case "host":
		found, err = net.DefaultResolver.LookupHost(ctx, name)
	case "ptr":
		found, err = net.DefaultResolver.LookupAddr(ctx, name)
	case "srv":
		var records []*net.SRV
		_, records, err = net.DefaultResolver.LookupSRV(ctx, "", "", name)
		for _, r := range records {
			found = append(found, fmt.Sprintf("%s:%d", r.Target, r.Port))
		}
	default:
		return fmt.Errorf("lookup: %q is none of host, srv, ptr", kind)
	}
	if err != nil {
		return err
	}
	slices.Sort(found)
	fmt.Fprintln(out, strings.Join(found, "\n"))
	return nil
}
