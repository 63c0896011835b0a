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

// process is one run of `skiff server` or `skiff agent`.
type process struct {
	name  string // as messages call it
	cmd   *exec.Cmd
	ready <-chan struct{}
	ended chan struct{} // closed after err is set
	err   error
}

// launch runs skiff with a command of its own that lasts, and does not wait. A
// host runs one at a time.
func (h *Host) launch(command string, args []string) {
	h.t.Helper()
	if h.process != nil {
		h.t.Fatalf("%s: a %s runs already", h.Name, h.process.name)
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
	cmd := h.Command(context.Background(), "skiff", append([]string{command}, args...)...)
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+notify.address)
	cmd.Stdout, cmd.Stderr = log, log
	// A Ctrl-C that ends the tests must leave the ending of the process to them.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	p := &process{name: "skiff " + command, cmd: cmd, ready: notify.ready, ended: make(chan struct{})}
	if err := cmd.Start(); err != nil {
		notify.conn.Close()
		h.t.Fatalf("start %s: %v", p.name, err)
	}
	go notify.read()
	go func() {
		defer close(p.ended)
		p.err = cmd.Wait()
		notify.conn.Close()
	}()
	h.process, h.used = p, true
}

// AwaitReady returns when the launched server or agent has told that it is ready.
func (h *Host) AwaitReady() {
	h.t.Helper()
	p := h.process
	select {
	case <-p.ready:
	case <-p.ended:
		h.t.Fatalf("%s: %s ended: %v", h.Name, p.name, p.err)
	case <-time.After(startTimeout):
		h.t.Fatalf("%s: %s was not ready within %s", h.Name, p.name, startTimeout)
	}
}

// PID is the running server or agent.
func (h *Host) PID() int { return h.process.cmd.Process.Pid }

// Stop ends the server or agent by SIGTERM, as an init would. It must end in
// time, and well; containers run on.
func (h *Host) Stop() {
	h.t.Helper()
	name := h.process.name
	if err := h.end(syscall.SIGTERM); err != nil {
		h.t.Fatalf("%s: %s after SIGTERM: %v", h.Name, name, err)
	}
}

// Kill ends the server or agent by SIGKILL.
func (h *Host) Kill() {
	h.t.Helper()
	_ = h.end(syscall.SIGKILL) // that it was killed
}

// Wait returns how the server or agent ended, when it does so by itself.
func (h *Host) Wait() error {
	h.t.Helper()
	p := h.process
	select {
	case <-p.ended:
		h.process = nil
		return p.err
	case <-time.After(startTimeout):
		h.t.Fatalf("%s: %s did not end within %s", h.Name, p.name, startTimeout)
		return nil
	}
}

func (h *Host) end(signal os.Signal) error {
	p := h.process
	h.process = nil
	if err := p.cmd.Process.Signal(signal); err != nil {
		return fmt.Errorf("%w; it had ended already: %w", err, p.err)
	}
	select {
	case <-p.ended:
		return p.err
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Kill()
		<-p.ended
		return fmt.Errorf("it did not end within %s", stopTimeout)
	}
}

// endProcess ends what the test did not.
func (h *Host) endProcess() {
	if h.process == nil {
		return
	}
	name := h.process.name
	if err := h.end(syscall.SIGTERM); err != nil {
		h.t.Errorf("%s: %s after SIGTERM: %v", h.Name, name, err)
	}
}
