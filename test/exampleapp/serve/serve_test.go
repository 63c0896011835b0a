package serve_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"

	"skiff/test/exampleapp/serve"
)

// TestEndFinishesWhatHasBegun ends the server while it answers a request.
func TestEndFinishesWhatHasBegun(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	defer end()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) {
		end()
		// A new connection is refused only after the listener was closed.
		for {
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				break
			}
			c.Close()
		}
		w.WriteHeader(http.StatusAccepted)
	})
	ended := make(chan error, 1)
	go func() { ended <- serve.Run(ctx, l, mux) }()
	if got := status(t, l, "/readyz"); got != http.StatusOK {
		t.Errorf("readyz: %d", got)
	}
	if got := status(t, l, "/"); got != http.StatusAccepted {
		t.Errorf("the request that had begun: %d", got)
	}
	if err := <-ended; err != nil {
		t.Errorf("run: %v", err)
	}
}

func TestListenerGone(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := serve.Run(t.Context(), l, http.NewServeMux()); err == nil || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("got %v, want an error that names the address", err)
	}
}

func status(t *testing.T, l net.Listener, path string) int {
	t.Helper()
	res, err := http.Get("http://" + l.Addr().String() + path)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}
