package cli

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"skiff/server"
)

// reporter shows how a start goes on: a person at a terminal sees progress and
// what to do next, a service manager a log and its notifications.
type reporter struct {
	out      io.Writer
	terminal bool
	notify   *notifier
	// program is how the user called skiff, for the commands to try next.
	program string

	mu sync.Mutex // Steps come at the same time
}

func newReporter(c *cli.Context) (*reporter, error) {
	r := &reporter{out: c.App.Writer, terminal: isTerminal(c.App.Writer), notify: newNotifier(), program: programName(os.Args[0])}
	least := slog.LevelDebug
	if r.terminal {
		least = slog.LevelWarn
	}
	return r, setUpLog(c, c.App.ErrWriter, least)
}

// programName is what a shell takes for this program: a path stays one.
func programName(arg string) string {
	if strings.Contains(arg, "/") {
		return arg
	}
	return "skiff"
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (r *reporter) observer() server.Observer { return r }

// Step implements server.Observer.
func (r *reporter) Step(what string, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notify.status("starting; last: " + what)
	if r.terminal {
		fmt.Fprintf(r.out, "  %-34s %6d ms\n", what, took.Milliseconds())
		return
	}
	slog.Info("started", "part", what, "ms", took.Milliseconds())
}

// Ready implements server.Observer.
func (r *reporter) Ready(s server.Summary) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notify.ready("serving "+s.URL, s.Healthy)
	if !r.terminal {
		slog.Info("ready", "node", s.Node, "url", s.URL, "kubeconfig", s.Kubeconfig, "token_file", s.TokenFile, "ms", s.Took.Milliseconds())
		return
	}
	fmt.Fprintf(r.out, "\nSkiff is ready after %.1f s, at %s. Ctrl-C stops it; containers run on.\n\n", s.Took.Seconds(), s.URL)
	for _, line := range r.next(s) {
		fmt.Fprintln(r.out, "  "+line)
	}
}

// next are the commands that a person needs next.
func (r *reporter) next(s server.Summary) []string {
	var lines []string
	switch {
	case s.Kubeconfig == defaultKubeconfig:
		lines = append(lines, fmt.Sprintf("look around:       %s kubectl get pods -A", r.program))
	case s.Kubeconfig != "":
		lines = append(lines, fmt.Sprintf("look around:       KUBECONFIG=%s %s kubectl get pods -A", s.Kubeconfig, r.program))
	}
	if s.Kubeconfig != "" {
		lines = append(lines, "your own kubectl:  export KUBECONFIG="+s.Kubeconfig)
	}
	return append(lines, "one more box:      "+joinLine("skiff", s.URL, s.Token))
}

// Stopping implements server.Observer.
func (r *reporter) Stopping() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notify.stopping()
	if r.terminal {
		fmt.Fprintln(r.out, "\nStopping; containers run on.")
		return
	}
	slog.Info("stopping")
}

// finish ends the notifications and hands on how the run ended.
func (r *reporter) finish(err error) error {
	r.notify.close()
	return err
}
