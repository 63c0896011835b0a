package api_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// serving is a server that listens.
type serving struct {
	*fixture
	addr   string
	stop   func()
	served chan error
}

func serve(t *testing.T, conf *tls.Config) *serving {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &serving{fixture: newFixture(t, nil), addr: l.Addr().String(), served: make(chan error, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	s.stop = cancel
	go func() { s.served <- s.server.Serve(ctx, l, conf) }()
	return s
}

// end waits for the server's end.
func (s *serving) end(t *testing.T) {
	t.Helper()
	s.stop()
	select {
	case err := <-s.served:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the server does not end")
	}
}

// certificate is one that everybody believes who is told of it.
func certificate(t *testing.T) (*tls.Config, *tls.Config) {
	t.Helper()
	donor := httptest.NewUnstartedServer(nil)
	donor.StartTLS()
	defer donor.Close()
	client := donor.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	client.ServerName = "example.com"
	return &tls.Config{Certificates: donor.TLS.Certificates, NextProtos: []string{"h2", "http/1.1"}}, client
}

func TestServeEndsWatches(t *testing.T) {
	server, _ := certificate(t)
	for name, conf := range map[string]*tls.Config{"http": nil, "https": server} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, conf)
			c := kubernetes.NewForConfigOrDie(&rest.Config{Host: name + "://" + s.addr, TLSClientConfig: rest.TLSClientConfig{Insecure: conf != nil}})
			w, err := c.CoreV1().Pods("").Watch(t.Context(), metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			s.stop()
			for e := range w.ResultChan() {
				if e.Type != watch.Error {
					t.Errorf("got %v", e)
				}
			}
			s.end(t)
			if code, body := do(t, s.fixture, http.MethodGet, "/readyz", ""); code != 500 || !strings.Contains(body, "shutting down") {
				t.Errorf("ready after its end: %d %s", code, body)
			}
			if conn, err := net.Dial("tcp", s.addr); err == nil {
				_ = conn.Close()
				t.Error("the server still accepts")
			}
		})
	}
}

// TestServeTLS: whatever a client speaks, it is answered, next to others that have
// not made up their minds.
func TestServeTLS(t *testing.T) {
	server, client := certificate(t)
	s := serve(t, server)
	silent, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for proto, next := range map[string][]string{"HTTP/2.0": {"h2"}, "HTTP/1.1": nil} {
		conf := client.Clone()
		conf.NextProtos = next
		transport := &http.Transport{TLSClientConfig: conf, ForceAttemptHTTP2: next != nil}
		for range 3 {
			resp, err := (&http.Client{Transport: transport}).Get("https://" + s.addr + "/livez")
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if resp.Proto != proto || resp.StatusCode != http.StatusOK || string(body) != "ok" {
				t.Errorf("%s: got %s %d %s", proto, resp.Proto, resp.StatusCode, body)
			}
		}
		transport.CloseIdleConnections()
	}
	s.end(t)
}

// TestServeTLSToPlainClient: who forgets the s of https is told.
func TestServeTLSToPlainClient(t *testing.T) {
	server, _ := certificate(t)
	s := serve(t, server)
	for sent, want := range map[string]string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n": "HTTP/1.0 400 Bad Request",
		"SSH-2.0-OpenSSH_9.2\r\n":           "",
	} {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, sent); err != nil {
			t.Fatal(err)
		}
		line, _ := bufio.NewReader(conn).ReadString('\n')
		if want == "" && strings.HasPrefix(line, "HTTP") || !strings.HasPrefix(line, want) {
			t.Errorf("%q is answered by %q, want %q", sent, line, want)
		}
		_ = conn.Close()
	}
	s.end(t)
}

// TestServeEndsStubbornConnections: a request that does not end does not hold up
// the server's end.
func TestServeEndsStubbornConnections(t *testing.T) {
	t.Parallel() // it takes the time that requests are given
	server, client := certificate(t)
	s := serve(t, server)
	entered, leave := make(chan struct{}, 1), make(chan struct{})
	t.Cleanup(func() { close(leave) })
	if err := s.server.Install(slow(entered, leave)); err != nil {
		t.Fatal(err)
	}
	client.NextProtos = []string{"h2"}
	transport := &http.Transport{TLSClientConfig: client, ForceAttemptHTTP2: true}
	answered := make(chan error, 1)
	go func() {
		resp, err := (&http.Client{Transport: transport}).Post("https://"+s.addr+"/apis/test/v1/slows", "application/json", strings.NewReader("{}"))
		if err == nil {
			_ = resp.Body.Close()
		}
		answered <- err
	}()
	<-entered
	s.end(t)
	if err := <-answered; err == nil {
		t.Error("the request was answered")
	}
}
