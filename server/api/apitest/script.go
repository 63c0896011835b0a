// Package apitest replays HTTP conversations with an API server, as text.
//
//	apitest.Scripts(t, "testdata/*.txtar", func(t *testing.T) http.Handler { return newServer(t) })
//
// A file has pairs of sections: "-- request --" with method and path, headers, an
// empty line and the body; and "-- response --" with the code, some headers, an
// empty line and the body, in which uids, times and generated names are masked.
// Sections "-- setup --" are requests that have to succeed. With the flag -update
// the responses are written instead.
package apitest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
)

// Scripts replays each file that matches the pattern against a handler of its own.
func Scripts(t *testing.T, pattern string, newHandler func(*testing.T) http.Handler) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts in %s: %v", pattern, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			srv := httptest.NewServer(newHandler(t))
			defer srv.Close()
			script{t, srv}.run(file)
		})
	}
}

type script struct {
	t   *testing.T
	srv *httptest.Server
}

func (s script) run(file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	var out []txtar.File
	for i, section := range archive.Files {
		switch section.Name {
		case "setup":
			out = append(out, section)
			if got := s.converse(string(section.Data)); !strings.HasPrefix(got, "2") {
				s.t.Fatalf("setup:\n%s\ngot:\n%s", section.Data, got)
			}
			continue
		case "request":
		default:
			continue
		}
		got := s.converse(string(section.Data))
		out = append(out, section, txtar.File{Name: "response", Data: []byte(got)})
		if Update() {
			continue
		}
		if i+1 >= len(archive.Files) || archive.Files[i+1].Name != "response" {
			s.t.Fatalf("request without response:\n%s", section.Data)
		}
		if want := string(archive.Files[i+1].Data); strings.TrimSpace(got) != strings.TrimSpace(want) {
			s.t.Errorf("request:\n%s\ngot:\n%s\nwant:\n%s", section.Data, got, want)
		}
	}
	if Update() {
		archive.Files = out
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			s.t.Fatal(err)
		}
	}
}

var masks = []struct {
	what *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`), "UID"},
	{regexp.MustCompile(`20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ`), "TIME"},
	{regexp.MustCompile(`kube-api-access-[a-z0-9]{5}`), "kube-api-access-XXXXX"},
}

// shown are the headers that a response is compared by.
var shown = []string{"Content-Type", "Warning", "Retry-After"}

func (s script) converse(request string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	head, body, _ := strings.Cut(request, "\n\n")
	lines := strings.Split(strings.TrimSpace(head), "\n")
	method, path, _ := strings.Cut(lines[0], " ")
	req, err := http.NewRequestWithContext(ctx, method, s.srv.URL+path, strings.NewReader(strings.TrimSpace(body)))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, l := range lines[1:] {
		k, v, _ := strings.Cut(l, ": ")
		req.Header.Set(k, v)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	var out strings.Builder
	fmt.Fprintln(&out, resp.StatusCode)
	for _, h := range shown {
		for _, v := range resp.Header.Values(h) {
			fmt.Fprintf(&out, "%s: %s\n", h, v)
		}
	}
	fmt.Fprintln(&out)
	if _, err := io.Copy(&out, resp.Body); err != nil {
		s.t.Fatal(err)
	}
	text := strings.ReplaceAll(out.String(), s.srv.Listener.Addr().String(), "SERVER")
	for _, m := range masks {
		text = m.what.ReplaceAllString(text, m.with)
	}
	return strings.TrimRight(text, "\n") + "\n"
}
