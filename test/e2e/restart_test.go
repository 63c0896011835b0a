package e2e

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"skiff/test/e2e/host"
)

// TestRestart ends the server in every way: containers run on, services go on
// answering, and the next server finds all of it as it was.
func TestRestart(t *testing.T) {
	t.Parallel()
	h := host.New(t, host.Config{})
	h.Start()
	importBox(t, h)
	h.Kubectl("create", "deployment", "web", "--image="+boxImage, "--replicas=2", "--", "probe", "serve")
	h.Kubectl("expose", "deployment", "web", "--port=80", "--target-port=8080")
	h.Kubectl("rollout", "status", "deployment/web", "--timeout=60s")
	address := h.Kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}") + ":80"

	for name, end := range map[string]func(){"SIGTERM": h.Stop, "SIGKILL": h.Kill} {
		t.Run(name, func(t *testing.T) {
			// One that ends while there is no server, and one that does not.
			ends, stays := newMortal(t, h, "ends-"+strings.ToLower(name), "restartPolicy: Never"), newMortal(t, h, "stays-"+strings.ToLower(name), "restartPolicy: Never")
			before := containers(h, "app!=ends-"+strings.ToLower(name))
			end()
			ends.end(t, 7)
			askFromPod(t, h, address)
			h.Start()
			h.Kubectl("wait", "--for=jsonpath={.status.phase}=Failed", "pod/"+ends.name, "--timeout=60s")
			if got := h.Kubectl("get", "pod", ends.name, "-o", "jsonpath={.status.containerStatuses[0].state.terminated['exitCode','reason']}"); got != "7 Error" {
				t.Errorf("a container that ended with 7 while there was no server: %s", got)
			}
			if after := containers(h, "app!=ends-"+strings.ToLower(name)); after != before {
				t.Errorf("containers before the restart:\n%safter it:\n%s", before, after)
			}
			askFromPod(t, h, address)
			// The shims that were found again tell of ends as ever.
			stays.end(t, 3)
			h.Kubectl("wait", "--for=jsonpath={.status.containerStatuses[0].state.terminated.exitCode}=3", "pod/"+stays.name, "--timeout=60s")
			h.Kubectl("delete", "pod", ends.name, stays.name)
			h.Kubectl("scale", "deployment/web", "--replicas=3")
			h.Kubectl("rollout", "status", "deployment/web", "--timeout=60s")
			h.Kubectl("scale", "deployment/web", "--replicas=2")
			h.Kubectl("wait", "--for=jsonpath={.status.replicas}=2", "deployment/web", "--timeout=60s")
		})
	}
}

// containers are those of the pods that a selector takes, a line each, with all
// that a restart of the server must not change.
func containers(h *host.Host, selector string) string {
	return h.Kubectl("get", "pods", "-l", selector, "--sort-by=.metadata.name", "-o", `jsonpath={range .items[*]}{.metadata.name} {.metadata.uid} {.status.podIP} `+
		`{range .status.containerStatuses[*]}{.containerID} {.restartCount} {.state}{end}{"\n"}{end}`)
}

// askFromPod asks a service from where a pod is, with what is on the box.
func askFromPod(t *testing.T, h *host.Host, address string) {
	t.Helper()
	if r := h.Run("busybox", "wget", "-q", "-O", "-", "http://"+address+"/"); r.Code != 0 || !strings.HasPrefix(r.Stdout, "web") {
		t.Errorf("the service answers %q, %s", r.Stdout, r.Stderr)
	}
}

// mortal is a pod that ends when it is told, without any server's help: it holds
// one pipe open as long as it lives, and reads its exit code from another.
type mortal struct {
	name  string
	dir   string
	alive *os.File
}

// newMortal makes such a pod by way of a host, with further fields in its spec.
func newMortal(t *testing.T, h *host.Host, name string, fields ...string) *mortal {
	t.Helper()
	m := &mortal{name: name, dir: filepath.Join(h.Dir, name)}
	if err := os.Mkdir(m.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, pipe := range []string{"alive", "code"} {
		if err := syscall.Mkfifo(filepath.Join(m.dir, pipe), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	manifest := filepath.Join(h.Dir, name+".yaml")
	text := fmt.Sprintf(mortalPod, name, name, strings.Join(fields, "\n  "), boxImage, m.dir)
	if err := os.WriteFile(manifest, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	h.Kubectl("apply", "-f", manifest)
	h.Kubectl("wait", "--for=condition=Ready", "pod/"+name, "--timeout=60s")
	m.await(t)
	return m
}

const mortalPod = `
apiVersion: v1
kind: Pod
metadata:
  name: %s
  labels: {app: %s}
spec:
  %s
  containers:
    - name: box
      image: %s
      command: [sh, -c, "exec 3>/pipes/alive; read code </pipes/code; exit $code"]
      volumeMounts: [{name: pipes, mountPath: /pipes}]
  volumes:
    - name: pipes
      hostPath: {path: %s}
`

// await returns when the pod's process lives.
func (m *mortal) await(t *testing.T) {
	t.Helper()
	opened := make(chan *os.File, 1)
	go func() {
		alive, err := os.Open(filepath.Join(m.dir, "alive")) // waits for the process
		if err != nil {
			t.Error(err)
		}
		opened <- alive
	}()
	select {
	case m.alive = <-opened:
		t.Cleanup(func() { m.alive.Close() })
	case <-time.After(eventualTimeout):
		t.Fatalf("pod %s does not run", m.name)
	}
}

// end has the pod's process end, and returns when it has.
func (m *mortal) end(t *testing.T, code int) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(m.dir, "code"), []byte(fmt.Sprintln(code)), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(m.alive); err != nil {
		t.Fatal(err)
	}
}
