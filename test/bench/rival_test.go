package bench

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"skiff/test/bench/traffic"
	"skiff/test/e2e/host"
)

// rival is a program that carries out services on a host, which sends the packets
// of a path on.
type rival struct {
	name string
	host *host.Host
	path *traffic.Path
	// start returns at once, awaitReady when the program has done all that it does
	// at its start.
	start, awaitReady, stop func()
	pid                     func() int
	// calm is how long it may still be busy with a change that works already, or
	// puts off the next one.
	calm time.Duration
}

func newRival(b *testing.B, name string, h *host.Host) *rival {
	b.Helper()
	path, err := traffic.New(h.Inside)
	if err != nil {
		b.Fatalf("%s: %v", name, err)
	}
	r := &rival{name: name, host: h, path: path}
	b.Cleanup(func() {
		r.forget(b)
		if err := path.Close(); err != nil {
			b.Errorf("%s: %v", name, err)
		}
	})
	return r
}

// forget removes all rules from the host.
func (r *rival) forget(b *testing.B) {
	b.Helper()
	err := r.host.Inside(func() error {
		conn, err := nftables.New()
		if err != nil {
			return err
		}
		conn.FlushRuleset()
		return conn.Flush()
	})
	if err != nil {
		b.Fatalf("%s: remove all rules: %v", r.name, err)
	}
}

// newSkiff is a whole agent: node, container runtime and DNS are in its process.
func newSkiff(b *testing.B, server, h *host.Host) *rival {
	b.Helper()
	r := newRival(b, "skiff agent", h)
	r.calm = 100 * time.Millisecond
	r.start = func() { h.LaunchAgent(server) }
	r.awaitReady, r.stop, r.pid = h.AwaitReady, h.Stop, h.PID
	// Joining the cluster is not what is compared.
	r.start()
	r.awaitReady()
	r.stop()
	return r
}

// kubeProxy is what `make bench-proxy` builds.
var kubeProxy = filepath.Join("..", "..", "bin", "peers", "kube-proxy")

// newKubeProxy is kube-proxy with its defaults, but for the mode. Limits of the
// kernel's table of connections are not set, since they are the whole machine's.
func newKubeProxy(b *testing.B, server, h *host.Host, client kubernetes.Interface) *rival {
	b.Helper()
	makeNode(b, client, h)
	r := newRival(b, "kube-proxy", h)
	r.calm = 1500 * time.Millisecond // it carries out changes once per second
	log, err := os.Create(filepath.Join(b.ArtifactDir(), "kube-proxy.log"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { log.Close() })
	path, err := filepath.Abs(kubeProxy)
	if err != nil {
		b.Fatal(err)
	}
	var cmd *exec.Cmd
	r.start = func() {
		cmd = h.Command(context.Background(), path, "--proxy-mode", "nftables", "--hostname-override", h.NodeName,
			"--kubeconfig", server.Kubeconfig, "--master", server.URL(), "--cluster-cidr", "10.42.0.0/16",
			"--conntrack-max-per-core", "0", "--conntrack-tcp-timeout-established", "0", "--conntrack-tcp-timeout-close-wait", "0")
		cmd.Stdout, cmd.Stderr = log, log
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			b.Fatalf("start kube-proxy: %v", err)
		}
	}
	r.awaitReady = func() {}
	r.stop = func() {
		if cmd == nil {
			return
		}
		var exit *exec.ExitError
		if err := errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait()); err != nil && !errors.As(err, &exit) {
			b.Errorf("stop kube-proxy: %v", err)
		}
		cmd = nil
	}
	r.pid = func() int { return cmd.Process.Pid }
	b.Cleanup(r.stop)
	return r
}

// makeNode makes the Node that kube-proxy asks for at its start.
func makeNode(b *testing.B, client kubernetes.Interface, h *host.Host) {
	b.Helper()
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: h.NodeName},
		Status:     corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: h.Addr.String()}}},
	}
	nodes := client.CoreV1().Nodes()
	_, err := nodes.Create(b.Context(), node, metav1.CreateOptions{})
	if err == nil {
		_, err = nodes.UpdateStatus(b.Context(), node, metav1.UpdateOptions{})
	}
	if err != nil {
		b.Fatalf("make the node %s: %v", h.NodeName, err)
	}
}
