package host

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"strings"
	"time"
)

// patience bounds every command that is to end by itself.
const patience = 2 * time.Minute

// Result is how a command ended.
type Result struct {
	Stdout, Stderr string
	// Code is the exit code, -1 after a signal.
	Code int
}

// Command prepares a command that runs in the host's namespaces, with the
// environment of a user of the host's; if the host has mounts of its own, in the
// folder /. The names skiff and kubectl stand for the
// skiff that is tested and its built-in kubectl. The process that it becomes is
// the command's own, so that it can be sent signals.
func (h *Host) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	switch name {
	case "skiff":
		name = h.Binary
	case "kubectl":
		name, args = h.Binary, append([]string{"kubectl"}, args...)
	}
	cmd := exec.CommandContext(ctx, "nsenter", h.place.enter(name, args...)...)
	cmd.Env = h.place.environ()
	cmd.WaitDelay = time.Second
	return cmd
}

// Run runs a command to its end, whatever that is.
func (h *Host) Run(name string, args ...string) Result {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return h.Finish(h.Command(ctx, name, args...))
}

// Finish runs a command that was prepared by Command to its end, whatever that
// is.
func (h *Host) Finish(cmd *exec.Cmd) Result {
	h.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		h.t.Fatalf("%s: %v", line(cmd), err)
	}
	return Result{Stdout: stdout.String(), Stderr: stderr.String(), Code: cmd.ProcessState.ExitCode()}
}

// Skiff runs skiff, which must succeed, and returns what it printed.
func (h *Host) Skiff(args ...string) string {
	h.t.Helper()
	return h.must("skiff", args)
}

// Kubectl runs `skiff kubectl`, which must succeed, and returns what it printed.
func (h *Host) Kubectl(args ...string) string {
	h.t.Helper()
	return h.must("kubectl", args)
}

// Import imports image archives into the running server's store.
func (h *Host) Import(archives ...string) {
	h.t.Helper()
	h.Skiff(append([]string{"images", "import"}, archives...)...)
}

func (h *Host) must(name string, args []string) string {
	h.t.Helper()
	r := h.Run(name, args...)
	if r.Code != 0 {
		h.t.Fatalf("%s %s: exit code %d\n%s%s", name, strings.Join(args, " "), r.Code, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

// line is the command as one would type it on the host.
func line(cmd *exec.Cmd) string {
	_, typed, _ := strings.Cut(strings.Join(cmd.Args, " "), " -- ")
	return typed
}
