package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// TestLoad ends the load after some requests, one of which the server refused.
func TestLoad(t *testing.T) {
	for _, tc := range []struct {
		name   string
		refuse int64
		want   string
	}{
		{"none fails", 0, ""},
		{"one fails", 3, "1 requests failed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			var asked atomic.Int64
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				n := asked.Add(1)
				if n == tc.refuse {
					http.Error(w, "refused", http.StatusServiceUnavailable)
				}
				if n == 6 {
					stop()
				}
			}))
			defer s.Close()
			err := load(ctx, []string{s.URL})
			if got := errorText(err); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"fetch"}, {"load"}, {"own", "/"}, {"pods", "x"}, {"dance"}} {
		if err := run(t.Context(), args); err == nil || !strings.HasPrefix(err.Error(), "usage: ") {
			t.Errorf("%v: got %v, want the usage", args, err)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
