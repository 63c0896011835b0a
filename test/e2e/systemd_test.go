package e2e

import (
	"context"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"skiff/test/e2e/host"
)

// TestSystemd runs a server and an agent as systemd does with the units that
// docs/systemd.md shows, and reads what they tell: how the start goes on, that it
// is ready, that it is alive, that it stops.
func TestSystemd(t *testing.T) {
	t.Parallel()
	lan := host.NewNetwork(t)
	h := host.New(t, host.Config{Network: lan})
	tellsAll(t, runAsUnit(t, h, "server"), "serving "+h.URL())
	h.Start()
	two := host.New(t, host.Config{Network: lan, NodeName: "two"})
	tellsAll(t, runAsUnit(t, two, "agent", "--server", h.URL(), "--token", h.Token()), "node two of "+h.URL())
}

const alive = "WATCHDOG=1"

// runAsUnit runs skiff as a service with a watchdog, until it has told three times
// that it is alive, and returns all that it told.
func runAsUnit(t *testing.T, h *host.Host, args ...string) (heard []string) {
	t.Helper()
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(h.Dir, "systemd"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	// The watchdog is meant for the process that the shell becomes.
	cmd := h.Command(ctx, "sh", append([]string{"-c", `WATCHDOG_PID=$$ exec "$0" "$@"`, h.Binary}, args...)...)
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+socket.LocalAddr().String(), "WATCHDOG_USEC=200000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		ended <- cmd.Wait()
		// What the process sent is in front of this.
		if c, err := net.Dial("unixgram", socket.LocalAddr().String()); err == nil {
			_, _ = c.Write([]byte("gone"))
			c.Close()
		}
	}()

	for buffer, fed := make([]byte, 4096), 0; ; {
		n, err := socket.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		message := string(buffer[:n])
		if message == "gone" {
			break
		}
		heard = append(heard, message)
		if message == alive {
			if fed++; fed == 3 {
				if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if err := <-ended; err != nil {
		t.Errorf("skiff %s after SIGTERM: %v", args[0], err)
	}
	return heard
}

// tellsAll checks what a service manager was told, and in which order.
func tellsAll(t *testing.T, heard []string, status string) {
	t.Helper()
	begins := func(prefix string) int {
		return slices.IndexFunc(heard, func(m string) bool { return strings.HasPrefix(m, prefix) })
	}
	starting, ready, fed, stopping := begins("STATUS=starting; last: "), begins("READY=1\nSTATUS="+status), begins(alive), begins("STOPPING=1\n")
	if starting != 0 || ready <= starting || fed <= ready || stopping <= fed {
		t.Errorf("told in this order: %q", heard)
	}
	if last := heard[len(heard)-1]; !strings.HasPrefix(last, "STOPPING=1\n") {
		t.Errorf("after the stop began it told %q", last)
	}
}
