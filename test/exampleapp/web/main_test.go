package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPage shows what a visitor gets, with the store well, unwilling and gone.
func TestPage(t *testing.T) {
	dir := t.TempDir()
	greeting, password := filepath.Join(dir, "greeting"), filepath.Join(dir, "password")
	for path, data := range map[string]string{greeting: "Hello!\n", password: "right\n"} {
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/counters/visits" || r.Header.Get("Authorization") != "Bearer right" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		w.Write([]byte("7\n"))
	}))
	defer store.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()

	good := page{version: "v1", pod: "p", greetingFile: greeting, storeURL: store.URL, passwordFile: password}
	for _, tc := range []struct {
		name   string
		change func(*page)
		status int
		want   string
	}{
		{"well", func(*page) {}, 200, "Hello!\nversion: v1\npod: p\nvisits: 7\n"},
		{"wrong password", func(p *page) { p.passwordFile = greeting }, 200, "visits: unknown (" + store.URL + ": 401 Unauthorized)"},
		{"store gone", func(p *page) { p.storeURL = gone.URL }, 200, "visits: unknown"},
		{"no greeting", func(p *page) { p.greetingFile += "x" }, 500, "greetingx"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := good
			tc.change(&p)
			res := httptest.NewRecorder()
			p.ServeHTTP(res, httptest.NewRequest(http.MethodGet, "/", nil))
			if res.Code != tc.status || !strings.Contains(res.Body.String(), tc.want) {
				t.Errorf("%d %q, want %d with %q", res.Code, res.Body, tc.status, tc.want)
			}
		})
	}
}
