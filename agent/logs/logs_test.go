package logs

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"errors"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

var base = time.Date(2026, 11, 24, 5, 0, 0, 0, time.UTC)

// write appends lines "stream tag text", one a second.
func write(t *testing.T, path string, from int, lines ...string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i, line := range lines {
		fmt.Fprintf(f, "%s %s\n", base.Add(time.Duration(from+i)*time.Second).Format(time.RFC3339Nano), line)
	}
}

func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "0.log")
	write(t, path+".20261124-050000.000", 0, "stdout F one", "stderr F two")
	if err := compress(path + ".20261124-050000.000"); err != nil {
		t.Fatal(err)
	}
	write(t, path+".20261124-050100.000", 2, "stdout F three")
	write(t, path, 3, "stdout P fo", "stdout F ur", "garbage", "stdout F five")
	all := Options{Tail: -1}
	for _, c := range []struct {
		name           string
		change         func(*Options)
		stdout, stderr string
	}{
		{"everything", func(*Options) {}, "one\nthree\nfour\nfive\n", "two\n"},
		{"tail over files", func(o *Options) { o.Tail = 5 }, "three\nfour\nfive\n", ""},
		{"no lines", func(o *Options) { o.Tail = 0 }, "", ""},
		{"since", func(o *Options) { o.Since = base.Add(2 * time.Second) }, "three\nfour\nfive\n", ""},
		{"limit", func(o *Options) { o.LimitBytes = 6 }, "on", "two\n"},
		{"timestamps", func(o *Options) { o.Timestamps, o.Since = true, base.Add(2*time.Second) },
			"2026-11-24T05:00:02Z three\n2026-11-24T05:00:03Z four\n2026-11-24T05:00:06Z five\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			opts := all
			c.change(&opts)
			var stdout, stderr strings.Builder
			if err := Read(t.Context(), path, opts, &stdout, &stderr); err != nil {
				t.Fatal(err)
			}
			if c.name == "limit" {
				if got := stdout.String() + stderr.String(); len(got) != 6 {
					t.Errorf("%d bytes %q, want 6", len(got), got)
				}
				return
			}
			if stdout.String() != c.stdout || stderr.String() != c.stderr {
				t.Errorf("stdout %q, stderr %q; want %q, %q", &stdout, &stderr, c.stdout, c.stderr)
			}
		})
	}
	if err := Read(t.Context(), filepath.Join(t.TempDir(), "none.log"), all, io.Discard, io.Discard); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing log: %v", err)
	}
	if text, err := Tail(path, 2, 4); err != nil || text != "ive\n" {
		t.Errorf("Tail = %q, %v", text, err)
	}
}

// lines passes on what is written, line by line.
type lines chan string

func (l lines) Write(p []byte) (int, error) { l <- string(p); return len(p), nil }

func TestFollowOverRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "0.log")
	write(t, path, 0, "stdout F one", "stdout F two")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var running atomic.Bool
	running.Store(true)
	out, done := make(lines), make(chan error, 1)
	go func() {
		done <- Read(ctx, path, Options{Tail: 1, Follow: true, Running: running.Load}, out, out)
	}()
	want := func(text string) {
		t.Helper()
		select {
		case got := <-out:
			if got != text {
				t.Fatalf("got %q, want %q", got, text)
			}
		case <-ctx.Done():
			t.Fatalf("waited in vain for %q", text)
		}
	}
	want("two\n")
	write(t, path, 2, "stdout F three")
	want("three\n")
	r := NewRotator(RotatorConfig{MaxSize: 1, MaxFiles: 3, Runtime: reopener{path}, Log: slog.New(slog.DiscardHandler), Each: func(fn func(string, string)) { fn("id", path) }})
	r.Check(ctx)
	write(t, path, 3, "stdout F four")
	want("four\n")
	running.Store(false)
	if err := <-done; err != nil {
		t.Errorf("after the container's end: %v", err)
	}
}

// reopener plays a runtime that begins a new file.
type reopener struct{ path string }

func (r reopener) ReopenContainerLog(context.Context, *runtimeapi.ReopenContainerLogRequest) (*runtimeapi.ReopenContainerLogResponse, error) {
	return &runtimeapi.ReopenContainerLogResponse{}, os.WriteFile(r.path, nil, 0o644)
}

type broken struct{}

func (broken) ReopenContainerLog(context.Context, *runtimeapi.ReopenContainerLogRequest) (*runtimeapi.ReopenContainerLogResponse, error) {
	return nil, errors.New("no")
}

func TestRotate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "0.log")
	write(t, path, 0, "stdout F one")
	each := func(fn func(string, string)) { fn("id", path) }
	log := slog.New(slog.DiscardHandler)
	NewRotator(RotatorConfig{MaxSize: 1 << 20, MaxFiles: 3, Runtime: reopener{path}, Each: each, Log: log}).Check(t.Context())
	if all := files(path); len(all) != 1 {
		t.Fatalf("a small log was rotated: %q", all)
	}
	NewRotator(RotatorConfig{MaxSize: 1, MaxFiles: 3, Runtime: broken{}, Each: each, Log: log}).Check(t.Context())
	if all := files(path); len(all) != 1 {
		t.Fatalf("a log that could not be reopened was moved: %q", all)
	}
	for i := range 5 {
		NewRotator(RotatorConfig{MaxSize: 1, MaxFiles: 3, Runtime: reopener{path}, Each: each, Log: log}).Check(t.Context())
		write(t, path, i, fmt.Sprintf("stdout F line-%d", i))
		// The names of rotated files are their times, to the millisecond.
		for now := time.Now(); time.Since(now) < 2*time.Millisecond; {
		}
	}
	all := files(path)
	if len(all) != 3 || !strings.HasSuffix(all[0], ".gz") || strings.HasSuffix(all[1], ".gz") {
		t.Errorf("files %q, want three: one compressed, one rotated, and the current one", all)
	}
	text, err := Tail(path, 10, 1000)
	if err != nil || text != "line-2\nline-3\nline-4\n" {
		t.Errorf("what is left: %q, %v", text, err)
	}
}
