package host

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// startTimeout is for a loaded machine: a start takes about two seconds.
	startTimeout = 90 * time.Second
	// stopTimeout is what skiff promises.
	stopTimeout = 10 * time.Second
	// shownLog is how much of its log a failed test shows, in bytes.
	shownLog = 8 << 10
)

// server is one run of `skiff server`.
type server struct {
	cmd   *exec.Cmd
	ready <-chan struct{}
	ended chan struct{} // closed after err is set
	err   error
}

// Start runs `skiff server` with further flags, and returns when it has told
// that it is ready, as it tells systemd.
func (h *Host) Start(flags ...string) {
	h.t.Helper()
	h.Launch(flags...)
	h.AwaitReady()
}

// Launch runs `skiff server` with further flags, and does not wait.
func (h *Host) Launch(flags ...string) {
	h.t.Helper()
	if h.server != nil {
		h.t.Fatalf("%s: a server runs already", h.Name)
	}
	notify, err := listenForReady(h.Dir)
	if err != nil {
		h.t.Fatal(err)
	}
	log, err := os.OpenFile(h.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		h.t.Fatal(err)
	}
	defer log.Close()
	cmd := h.serverCommand(flags)
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+notify.address)
	cmd.Stdout, cmd.Stderr = log, log
	// A Ctrl-C that ends the tests must leave the ending of the server to them.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		notify.conn.Close()
		h.t.Fatalf("start skiff server: %v", err)
	}
	s := &server{cmd: cmd, ready: notify.ready, ended: make(chan struct{})}
	go notify.read()
	go func() {
		defer close(s.ended)
		s.err = cmd.Wait()
		notify.conn.Close()
	}()
	h.server, h.used = s, true
}

func (h *Host) serverCommand(flags []string) *exec.Cmd {
	args := append([]string{"server"}, flags...)
	if h.resolvConf == "" {
		return h.Command(context.Background(), "skiff", args...)
	}
	script := fmt.Sprintf(`mount --bind %s /etc/resolv.conf && exec "$0" "$@"`, h.resolvConf)
	args = append([]string{"--mount", "--propagation", "slave", "sh", "-c", script, h.Binary}, args...)
	return h.Command(context.Background(), "unshare", args...)
}

// AwaitReady returns when the launched server has told that it is ready.
func (h *Host) AwaitReady() {
	h.t.Helper()
	select {
	case <-h.server.ready:
	case <-h.server.ended:
		h.t.Fatalf("skiff server ended: %v", h.server.err)
	case <-time.After(startTimeout):
		h.t.Fatalf("skiff server was not ready within %s", startTimeout)
	}
}

// notifications is a socket for sd_notify(3) messages. ready is closed at the
// first that tells of readiness.
type notifications struct {
	conn    *net.UnixConn
	address string
	ready   chan struct{}
}

func listenForReady(dir string) (*notifications, error) {
	n := &notifications{address: filepath.Join(dir, "notify"), ready: make(chan struct{})}
	if err := os.Remove(n.address); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	var err error
	n.conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: n.address, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("listen for readiness: %w", err)
	}
	return n, nil
}

// read reads until the socket is closed.
func (n *notifications) read() {
	once := sync.OnceFunc(func() { close(n.ready) })
	for message := make([]byte, 4096); ; {
		size, err := n.conn.Read(message)
		if err != nil {
			return
		}
		if strings.HasPrefix(string(message[:size]), "READY=1") {
			once()
		}
	}
}

// PID is the process of the running server.
func (h *Host) PID() int { return h.server.cmd.Process.Pid }

// Stop ends the server by SIGTERM, as an init would. It must end in time, and
// well; containers run on.
func (h *Host) Stop() {
	h.t.Helper()
	if err := h.end(syscall.SIGTERM); err != nil {
		h.t.Fatalf("skiff server after SIGTERM: %v", err)
	}
}

// Kill ends the server by SIGKILL.
func (h *Host) Kill() {
	h.t.Helper()
	_ = h.end(syscall.SIGKILL) // that it was killed
}

// Wait returns how the server ended, when it does so by itself.
func (h *Host) Wait() error {
	h.t.Helper()
	s := h.server
	select {
	case <-s.ended:
		h.server = nil
		return s.err
	case <-time.After(startTimeout):
		h.t.Fatalf("skiff server did not end within %s", startTimeout)
		return nil
	}
}

func (h *Host) end(signal os.Signal) error {
	s := h.server
	h.server = nil
	if err := s.cmd.Process.Signal(signal); err != nil {
		return fmt.Errorf("%w; it had ended already: %w", err, s.err)
	}
	select {
	case <-s.ended:
		return s.err
	case <-time.After(stopTimeout):
		_ = s.cmd.Process.Kill()
		<-s.ended
		return fmt.Errorf("it did not end within %s", stopTimeout)
	}
}

// endServer ends the server if the test did not.
func (h *Host) endServer() {
	if h.server == nil {
		return
	}
	if err := h.end(syscall.SIGTERM); err != nil {
		h.t.Errorf("skiff server after SIGTERM: %v", err)
	}
}

func (h *Host) logFile() string { return filepath.Join(h.Dir, "log") }

// Log is what all servers of the host have logged.
func (h *Host) Log() string {
	h.t.Helper()
	log, err := os.ReadFile(h.logFile())
	if err != nil && !os.IsNotExist(err) {
		h.t.Fatal(err)
	}
	return string(log)
}

// showCluster shows what runs when a test failed.
func (h *Host) showCluster() {
	if !h.t.Failed() || h.server == nil {
		return
	}
	r := h.Run("kubectl", "get", "pods,events", "--all-namespaces", "--request-timeout=10s")
	h.t.Logf("what runs on %s:\n%s%s", h.Name, r.Stdout, r.Stderr)
}

// showLog shows how the log of a failed test ends, and keeps all of it if `go
// test -artifacts` asks for that.
func (h *Host) showLog() {
	if !h.t.Failed() {
		return
	}
	log := []byte(h.Log())
	if len(log) == 0 {
		return
	}
	kept := filepath.Join(h.t.ArtifactDir(), h.Name+".log")
	if err := os.WriteFile(kept, log, 0o600); err != nil {
		h.t.Log(err)
	}
	if len(log) > shownLog {
		log = log[len(log)-shownLog:]
		log = log[bytes.IndexByte(log, '\n')+1:]
	}
	h.t.Logf("the log of %s ends so:\n%s", h.Name, log)
}
