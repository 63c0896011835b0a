package e2e

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"skiff/test/e2e/host"
)

// TestTerminal runs a server as a person does: it shows its progress and what to
// do next, and Ctrl-C ends it.
func TestTerminal(t *testing.T) {
	t.Parallel()
	h := host.New(t, host.Config{})
	keyboard, screen := openTerminal(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := h.Command(ctx, "skiff", "server")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = screen, screen, screen
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	screen.Close()

	var shown strings.Builder
	for lines := bufio.NewScanner(keyboard); lines.Scan(); { // until the server is gone
		line := strings.TrimRight(lines.Text(), "\r")
		fmt.Fprintln(&shown, line)
		if strings.Contains(line, "skiff agent --server ") { // the last thing that one may do next
			h.Kubectl("get", "pods", "-A")
			if _, err := keyboard.WriteString("\x03"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after Ctrl-C: %v", err)
	}
	for _, want := range []string{
		`^  store +\d+ ms$`, `^  container runtime +\d+ ms$`, `^Skiff is ready after \d+\.\d s, at https://192\.0\.2\.1:6443\.`,
		`skiff kubectl get pods -A$`, `export KUBECONFIG=` + h.Kubeconfig + `$`, `skiff agent --server https://192\.0\.2\.1:6443 --token \S+$`,
		`^Stopping; containers run on\.$`,
	} {
		if !regexp.MustCompile(`(?m)` + want).MatchString(shown.String()) {
			t.Errorf("no line like %q", want)
		}
	}
	if strings.Contains(shown.String(), "level=") || t.Failed() {
		t.Errorf("the terminal shows:\n%s", shown.String())
	}
}

// openTerminal makes a pseudo-terminal and returns its two ends.
func openTerminal(t *testing.T) (keyboard, screen *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keyboard.Close() })
	if err := unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	screen, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return keyboard, screen
}
