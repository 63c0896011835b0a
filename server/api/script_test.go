package api_test

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "write the responses of testdata/*.txtar")

// TestScripts replays the HTTP conversations in testdata. Each file has pairs of
// sections: "-- request --" with method and path, headers, an empty line and the
// body; and "-- response --" with the code, some headers, an empty line and the
// body, in which uids and times are masked.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { runScript(t, file) })
	}
}

func runScript(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, nil)
	var out []txtar.File
	for i, section := range archive.Files {
		if section.Name != "request" {
			continue
		}
		got := converse(t, f, string(section.Data))
		out = append(out, section, txtar.File{Name: "response", Data: []byte(got)})
		if *update {
			continue
		}
		if i+1 >= len(archive.Files) || archive.Files[i+1].Name != "response" {
			t.Fatalf("request without response:\n%s", section.Data)
		}
		if want := string(archive.Files[i+1].Data); strings.TrimSpace(got) != strings.TrimSpace(want) {
			t.Errorf("request:\n%s\ngot:\n%s\nwant:\n%s", section.Data, got, want)
		}
	}
	if *update {
		archive.Files = out
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

var (
	uids  = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)
	times = regexp.MustCompile(`20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ`)
)

func converse(t *testing.T, f *fixture, request string) string {
	t.Helper()
	head, body, _ := strings.Cut(request, "\n\n")
	lines := strings.Split(strings.TrimSpace(head), "\n")
	method, path, _ := strings.Cut(lines[0], " ")
	req, err := http.NewRequestWithContext(testContext(t), method, f.http.URL+path, strings.NewReader(strings.TrimSpace(body)))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines[1:] {
		k, v, _ := strings.Cut(l, ": ")
		req.Header.Set(k, v)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var out strings.Builder
	fmt.Fprintln(&out, resp.StatusCode)
	for _, h := range []string{"Content-Type", "Warning", "Retry-After"} {
		for _, v := range resp.Header.Values(h) {
			fmt.Fprintf(&out, "%s: %s\n", h, v)
		}
	}
	fmt.Fprintln(&out)
	_, _ = io.Copy(&out, bufio.NewReader(resp.Body))
	text := strings.ReplaceAll(out.String(), f.http.Listener.Addr().String(), "SERVER")
	text = uids.ReplaceAllString(text, "UID")
	return strings.TrimRight(times.ReplaceAllString(text, "TIME"), "\n") + "\n"
}
