package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"

	"skiff/server/client"
)

func get(t *testing.T, ctx context.Context, h http.HandlerFunc) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://skiff/path?q=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	return client.NewTransport(h, &user.DefaultInfo{Name: "me"}).RoundTrip(req)
}

func TestAnswer(t *testing.T) {
	resp, err := get(t, t.Context(), func(w http.ResponseWriter, r *http.Request) {
		u, _ := request.UserFrom(r.Context())
		w.Header().Set("X-Test", "before")
		w.WriteHeader(http.StatusTeapot)
		w.Header().Set("X-Test", "after")
		fmt.Fprintf(w, "%s %s %s", u.GetName(), r.RequestURI, r.Method)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || string(b) != "me /path?q=1 GET" || resp.StatusCode != http.StatusTeapot || resp.Header.Get("X-Test") != "before" {
		t.Fatalf("%d %v %q %v", resp.StatusCode, resp.Header, b, err)
	}
}

func TestLargeAnswerIsNotHeld(t *testing.T) {
	chunk := strings.Repeat("x", 64<<10)
	const chunks = 200
	resp, err := get(t, t.Context(), func(w http.ResponseWriter, _ *http.Request) {
		for range chunks {
			_, _ = io.WriteString(w, chunk)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err != nil || n != chunks*int64(len(chunk)) {
		t.Fatalf("%d bytes: %v", n, err)
	}
}

func TestStream(t *testing.T) {
	lines, ended := make(chan string), make(chan error, 1)
	resp, err := get(t, t.Context(), func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		for {
			select {
			case l := <-lines:
				_, _ = io.WriteString(w, l)
				w.(http.Flusher).Flush()
			case <-r.Context().Done():
				ended <- r.Context().Err()
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		want := fmt.Sprintf("line %d", i)
		lines <- want
		got := make([]byte, len(want))
		if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != want {
			t.Fatalf("%q %v", got, err)
		}
	}
	resp.Body.Close()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatalf("the handler ended by %v", err)
	}
	if _, err := resp.Body.Read(make([]byte, 1)); !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Fatalf("read after close: %v", err)
	}
}

func TestCancelledContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	entered, left := make(chan struct{}), make(chan struct{})
	go func() {
		<-entered
		cancel()
	}()
	_, err := get(t, ctx, func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
		close(left)
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	<-left
}

func TestReaderOfCancelledStream(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	resp, err := get(t, ctx, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	cancel()
	if b, err := io.ReadAll(resp.Body); err != nil && !errors.Is(err, context.Canceled) || len(b) > 0 {
		t.Fatalf("%q %v", b, err)
	}
}

func TestAbortedHandler(t *testing.T) {
	_, err := get(t, t.Context(), func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	if err == nil {
		t.Fatal("no error")
	}
}
