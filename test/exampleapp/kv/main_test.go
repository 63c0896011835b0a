package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRequests follows one data file through two lives of the store.
func TestRequests(t *testing.T) {
	dir := t.TempDir()
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte("right\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		method, path, token, body string
		status                    int
		answer                    string
		reopen                    bool
	}{
		{method: "GET", path: "/keys/a", token: "right", status: 404},
		{method: "PUT", path: "/keys/a", token: "wrong", body: "x", status: 401},
		{method: "PUT", path: "/keys/a", body: "x", status: 401},
		{method: "PUT", path: "/keys/a", token: "right", body: "x y", status: 200},
		{method: "GET", path: "/keys/a", token: "right", status: 200, answer: "x y"},
		{method: "POST", path: "/counters/a", token: "right", status: 409},
		{method: "POST", path: "/counters/n", token: "right", status: 200, answer: "1\n"},
		{reopen: true},
		{method: "POST", path: "/counters/n", token: "right", status: 200, answer: "2\n"},
		{method: "GET", path: "/keys/a", token: "right", status: 200, answer: "x y"},
		{method: "PUT", path: "/keys/a", token: "right", body: strings.Repeat("x", maxValue+1), status: 413},
	}
	open := func() http.Handler {
		s, err := openStore(filepath.Join(dir, "kv.json"))
		if err != nil {
			t.Fatal(err)
		}
		return routes(s, password)
	}
	h := open()
	for i, step := range steps {
		if step.reopen {
			h = open()
			continue
		}
		req := httptest.NewRequest(step.method, step.path, strings.NewReader(step.body))
		if step.token != "" {
			req.Header.Set("Authorization", "Bearer "+step.token)
		}
		res := httptest.NewRecorder()
		h.ServeHTTP(res, req)
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		if res.Code != step.status || (step.status == 200 && string(body) != step.answer) {
			t.Errorf("step %d, %s %s: %d %q, want %d %q", i, step.method, step.path, res.Code, body, step.status, step.answer)
		}
	}
}

func TestBrokenDataFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kv.json")
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openStore(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Fatalf("got %v, want an error that names %s", err, path)
	}
}
