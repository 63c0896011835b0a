package containerd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/sirupsen/logrus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestCheckpoint(t *testing.T) {
	path := filepath.Join(t.TempDir(), "status")
	write := func(s string) {
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for content, running := range map[string]bool{
		`{"Version":"v1","CreatedAt":1,"StartedAt":0,"FinishedAt":0}`: false,
		`{"Version":"v1","CreatedAt":1,"StartedAt":2,"FinishedAt":0}`: true,
		`{"Version":"v1","CreatedAt":1,"StartedAt":2,"FinishedAt":3}`: false,
		`{"Version":"v9","CreatedAt":1,"StartedAt":2,"FinishedAt":0}`: false,
	} {
		write(content)
		if c, err := readCheckpoint(path); err != nil || c.running() != running {
			t.Errorf("%s: running %v, %v; want %v", content, c.running(), err, running)
		}
	}
	write(`{"Version":"v1","StartedAt":2,"FinishedAt":0,"ExitCode":0,"Resources":{"linux":{"cpu_shares":128}},"Later":"kept"}`)
	c, err := readCheckpoint(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.finish(time.Unix(5, 7), 137); err != nil {
		t.Fatal(err)
	}
	data, _ := os.ReadFile(path)
	var got struct {
		FinishedAt int64
		ExitCode   int32
		Later      string
		Resources  map[string]any
	}
	if err := json.Unmarshal(data, &got); err != nil || got.FinishedAt != 5_000_000_007 || got.ExitCode != 137 || got.Later != "kept" || got.Resources == nil {
		t.Errorf("completed checkpoint is %s, %v", data, err)
	}
	write("{torn")
	if _, err := readCheckpoint(path); err == nil {
		t.Error("a torn checkpoint is read without an error")
	}
}

func TestIsShim(t *testing.T) {
	args := func(s ...string) []byte { return []byte(strings.Join(s, "\x00") + "\x00") }
	const addr = "/run/skiff/aa/containerd.sock"
	for _, c := range []struct {
		cmdline []byte
		want    bool
	}{
		{args("/x/containerd-shim-runc-v2", "-namespace", "k8s.io", "-id", "1", "-address", addr), true},
		{args("/x/containerd-shim-runc-v2", "-namespace", "k8s.io", "-id", "1", "-address", addr+"2"), false},
		{args("/x/containerd-shim-runc-v2", "-address"), false},
		{args("/bin/grep", "-address", addr), false},
		{nil, false},
	} {
		if got := isShim(c.cmdline, addr); got != c.want {
			t.Errorf("isShim(%q) = %v", c.cmdline, got)
		}
	}
}

func TestNameFromFile(t *testing.T) {
	for path, want := range map[string]string{
		"/x/My_App.tar.gz": "localhost/my-app",
		"app-1.2.tar.zst":  "localhost/app-1.2",
		"app.tgz":          "localhost/app",
		"---.tar":          "localhost/imported",
	} {
		if got := nameFromFile(path); got != want {
			t.Errorf("%s is called %s, want %s", path, got, want)
		}
	}
}

func TestValidate(t *testing.T) {
	good := Config{
		Layout: LayoutFor("/srv/x"), Runc: "/b/runc", Shim: "/b/shim", CNIConfDir: "/c",
		Pause: PauseImage{Name: "localhost/pause:1", Archive: func() io.Reader { return nil }},
	}
	if err := good.validate(); err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(*Config){
		"runc":           func(c *Config) { c.Runc = "runc" },
		"longer than 42": func(c *Config) { c.SocketDir = "/run/" + strings.Repeat("x", 40) },
		"pause image":    func(c *Config) { c.Pause = PauseImage{} },
		"snapshotter":    func(c *Config) { c.Snapshotter = "zfs" },
	} {
		c := good
		spoil(&c)
		if err := c.validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestLogsGoToSlog(t *testing.T) {
	var out bytes.Buffer
	fatal := make(chan error, 1)
	routeLogs(slog.New(slog.NewTextHandler(&out, nil)), func(err error) { fatal <- err })
	std := logrus.StandardLogger()
	std.WithError(errors.New("boom")).WithField("id", 7).Warn("look")
	std.Info("each step")
	std.Warn("failed check for fsverity support")
	std.Error("ttrpc: received message on inactive stream")
	std.WithError(fmt.Errorf("unable to find sandbox: %w", errdefs.ErrNotFound)).Error("failed to recover sandbox state")
	const reload = `failed to reload cni configuration after receiving fs change event(WRITE  "/d/.x/net.d/%s")`
	std.Errorf(reload, ".10-skiff.conflist.123")
	line := out.String()
	for _, part := range []string{"level=WARN", "msg=look", "err=boom", "id=7"} {
		if !strings.Contains(line, part) {
			t.Errorf("log %q lacks %s", line, part)
		}
	}
	if n := strings.Count(line, "\n"); n != 1 {
		t.Errorf("%d lines, want 1: %s", n, line)
	}
	std.Errorf(reload, "05-own.conflist")
	if !strings.Contains(out.String(), "05-own.conflist") {
		t.Error("a broken configuration is not told")
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		std.WithError(errors.New("no way")).Fatal("Failed to run CRI service")
		t.Error("went on after Fatal")
	}()
	<-ended
	if err := <-fatal; err == nil || err.Error() != "no way" {
		t.Errorf("fatal error is %v", err)
	}
}

// silentCRI never sends an event by itself.
type silentCRI struct{ criService }

func (silentCRI) GetContainerEvents(*runtimeapi.GetEventsRequest, runtimeapi.RuntimeService_GetContainerEventsServer) error {
	return nil
}

func TestEventHub(t *testing.T) {
	h := newEventHub(silentCRI{})
	event := func(id string) *runtimeapi.ContainerEventResponse {
		return &runtimeapi.ContainerEventResponse{ContainerId: id}
	}
	h.publish(event("before")) // nobody listens: dropped

	got := make(chan string, 10)
	ended := make(chan error, 2)
	ready := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		ended <- h.subscribe(ctx, func() { close(ready) }, func(e *runtimeapi.ContainerEventResponse) { got <- e.ContainerId })
	}()
	<-ready
	for _, id := range []string{"a", "b"} {
		h.publish(event(id))
	}
	if a, b := <-got, <-got; a != "a" || b != "b" {
		t.Errorf("events %s, %s; want a, b", a, b)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}

	// One that does not keep up is cut off, and says so.
	block, slow := make(chan struct{}), make(chan struct{})
	go func() {
		ended <- h.subscribe(context.Background(), func() { close(slow) }, func(*runtimeapi.ContainerEventResponse) { <-block })
	}()
	<-slow
	for range eventBacklog + 2 {
		h.publish(event("x"))
	}
	close(block)
	if err := <-ended; status.Code(err) != codes.ResourceExhausted {
		t.Errorf("slow subscriber ended with %v", err)
	}

	h.close()
	if err := h.subscribe(context.Background(), nil, nil); status.Code(err) != codes.Unavailable {
		t.Errorf("after close: %v", err)
	}
}

func TestInUse(t *testing.T) {
	l := Layout{State: t.TempDir()}
	if l.InUse("/data/bin/old") {
		t.Error("in use without any task")
	}
	bundle := filepath.Join(l.taskBundles(), "id")
	if err := os.MkdirAll(bundle, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bundle, "shim-binary-path"), []byte("/data/bin/old/containerd-shim-runc-v2"), 0o600); err != nil {
		t.Fatal(err)
	}
	if !l.InUse("/data/bin/old") || l.InUse("/data/bin/ol") || l.InUse("/data/bin/new") {
		t.Error("wrong about which directory the task needs")
	}
}
