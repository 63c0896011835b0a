package host

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

const (
	// startTimeout is for a loaded machine: a start takes about two seconds.
	startTimeout = 90 * time.Second
	// stopTimeout is what skiff promises.
	stopTimeout = 10 * time.Second
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
