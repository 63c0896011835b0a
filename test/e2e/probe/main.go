// Command probe is what the containers of the end-to-end tests run to be reached,
// and to reach others.
//
//	probe serve                     answers HTTP and UDP on $PORT (8080) with its
//	                                host name and the client's address
//	probe ask http|udp HOST:PORT [TIMES]
//	                                prints an answer for each new connection
//	probe lookup host|srv|ptr NAME  prints what the resolver answers, sorted
package main

import (
	"context"
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

func run(ctx context.Context, args []string, out io.Writer) error {
	switch {
	case len(args) == 1 && args[0] == "serve":
		port := os.Getenv("PORT")
		if port == "" {
			port = "8080"
		}
		return listenAndServe(ctx, ":"+port)
	case (len(args) == 3 || len(args) == 4) && args[0] == "ask":
		times := 1
		if len(args) == 4 {
			var err error
			if times, err = strconv.Atoi(args[3]); err != nil {
				return err
			}
		}
		return ask(ctx, out, args[1], args[2], times)
	case len(args) == 3 && args[0] == "lookup":
		return lookup(ctx, out, args[1], args[2])
	}
	return fmt.Errorf("usage: probe serve | ask http|udp HOST:PORT [TIMES] | lookup host|srv|ptr NAME")
}

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
		_, _ = io.WriteString(w, answer(r.RemoteAddr))
	})}
	context.AfterFunc(ctx, func() {
		server.Close()
		udp.Close()
	})
	go func() {
		for buffer := make([]byte, 512); ; {
			_, from, err := udp.ReadFrom(buffer)
			if err != nil {
				return
			}
			_, _ = udp.WriteTo([]byte(answer(from.String())), from)
		}
	}()
	if err := server.Serve(tcp); ctx.Err() == nil {
		return err
	}
	return nil
}

func ask(ctx context.Context, out io.Writer, network, address string, times int) error {
	question := map[string]func(context.Context, string) (string, error){"http": askHTTP, "udp": askUDP}[network]
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

func askUDP(ctx context.Context, address string) (string, error) {
	conn, err := (&net.Dialer{Timeout: timeout}).DialContext(ctx, "udp", address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, "?"); err != nil {
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
