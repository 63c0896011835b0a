package containerd_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"skiff/runtime/containerd"
)

var steps = map[string]func(*testing.T, *box){
	"run":   stepRun,
	"again": stepAgain,
}

// found is what the first daemon hands to the second.
type found struct {
	Pod, Runs, Ends, IP string
	EndsPid             int
}

// TestContainersOutliveTheDaemon runs containers, stops the daemon, lets one
// container end meanwhile, and has a second daemon take over.
func TestContainersOutliveTheDaemon(t *testing.T) {
	b := newBox(t)
	b.step(t, "run")
	if err := os.WriteFile(filepath.Join(b.dataDir, "shared", "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the container's end", func() bool {
		_, err := os.Stat(filepath.Join(b.dataDir, "shared", "ended"))
		return err == nil
	})
	b.step(t, "again")
}

func stepRun(t *testing.T, b *box) {
	d := b.daemon(t)
	if _, err := containerd.New(b.config(t)); !errors.Is(err, containerd.ErrStarted) {
		t.Errorf("second daemon in a process: got error %v, want %v", err, containerd.ErrStarted)
	}
	names, err := d.ImportImages(testContext(t), bytes.NewReader(dockerArchive(t, "busybox:test")))
	if err != nil {
		t.Fatal(err)
	}
	if len(names) != 1 || names[0] != busyboxImage {
		t.Fatalf("imported %v, want %s", names, busyboxImage)
	}
	events := watch(t, d)

	p := b.runPod(t, d, b.podConfig("web", &runtimeapi.PortMapping{ContainerPort: 8080, HostPort: 18080}))
	shared := filepath.Join(b.dataDir, "shared")
	if err := os.MkdirAll(shared, 0o755); err != nil {
		t.Fatal(err)
	}
	mounts := []*runtimeapi.Mount{{HostPath: shared, ContainerPath: "/shared"}}
	runs := p.start(t, d, "runs", nil, "sh", "-c", "echo hello; mkdir -p /var/www; echo served > /var/www/index.html; exec httpd -f -p 8080 -h /var/www")
	ends := p.start(t, d, "ends", mounts, "sh", "-c", "while ! test -e /shared/go; do sleep 0.05; done; touch /shared/ended; exit 42")

	f := found{Pod: p.ID, Runs: runs, Ends: ends, IP: podIP(t, d, p.ID)}
	if !strings.HasPrefix(f.IP, "10.88.7.") {
		t.Errorf("pod has address %q, want one of 10.88.7.0/24", f.IP)
	}
	for _, host := range []string{f.IP + ":8080", "127.0.0.1:18080", "10.88.7.1:18080"} {
		eventually(t, "an answer from "+host, func() bool { return fetch(host) == "served\n" })
	}
	if out, code := execIn(t, d, runs, "wget", "-q", "-O", "-", "http://10.88.7.1:18080/"); code != 0 || out != "served\n" {
		t.Errorf("pod reaches itself through its host port: %q, exit code %d", out, code)
	}
	eventually(t, "the container's log", func() bool {
		log, _ := os.ReadFile(filepath.Join(p.Config.LogDirectory, "runs.log"))
		return strings.Contains(string(log), "stdout F hello\n")
	})
	for range 5 { // sandbox and two containers: created and started
		e := <-events
		if e.PodSandboxStatus == nil {
			t.Errorf("event %s of %s without the sandbox's status", e.ContainerEventType, e.ContainerId)
		}
	}
	b.save(t, "found", f)
}

func stepAgain(t *testing.T, b *box) {
	d := b.daemon(t)
	var f found
	b.load(t, "found", &f)
	if s := status(t, d, f.Ends); s.State != runtimeapi.ContainerState_CONTAINER_EXITED || s.ExitCode != 42 || s.Reason != "Error" {
		t.Errorf("container that ended meanwhile: %s, exit code %d, reason %q; want exited, 42, Error", s.State, s.ExitCode, s.Reason)
	}
	if s := status(t, d, f.Runs); s.State != runtimeapi.ContainerState_CONTAINER_RUNNING {
		t.Errorf("container that ran on is %s", s.State)
	}
	if out, code := execIn(t, d, f.Runs, "echo", "still here"); out != "still here\n" || code != 0 {
		t.Errorf("exec after the restart: %q, exit code %d", out, code)
	}
	if got := fetch(f.IP + ":8080"); got != "served\n" {
		t.Errorf("the pod serves %q after the restart", got)
	}
	removePod(t, d, f.Pod)
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if strings.HasPrefix(l.Attrs().Name, "skv") {
			t.Errorf("link %s is left over", l.Attrs().Name)
		}
	}
	if conn, err := net.Dial("tcp", "127.0.0.1:18080"); err == nil {
		conn.Close()
		t.Error("the host port of a removed pod answers")
	}
	if left, _ := filepath.Glob(filepath.Join(b.network().StateDir, "10.*")); len(left) > 0 {
		t.Errorf("addresses of removed pods are left: %v", left)
	}
}

// watch collects container events of the daemon, from now on.
func watch(t *testing.T, d *containerd.Daemon) <-chan *runtimeapi.ContainerEventResponse {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := make(chan *runtimeapi.ContainerEventResponse, 100)
	subscribed := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		ended <- d.Runtime().Events(ctx, func() { close(subscribed) }, func(e *runtimeapi.ContainerEventResponse) { c <- e })
	}()
	<-subscribed
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("events ended with %v", err)
		}
	})
	return c
}

func fetch(host string) string {
	resp, err := http.Get("http://" + host + "/")
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return string(body)
}
