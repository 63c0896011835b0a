package cli

import (
	"fmt"
	"io"
	"log/slog"
	"os"
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
}

func newReporter(c *cli.Context) (*reporter, error) {
	r := &reporter{out: c.App.Writer, terminal: isTerminal(c.App.Writer), notify: newNotifier()}
	least := slog.LevelDebug
	if r.terminal {
		least = slog.LevelWarn
	}
	return r, setUpLog(c, c.App.ErrWriter, least)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (r *reporter) observer() server.Observer { return r }

// Step implements server.Observer.
func (r *reporter) Step(what string, took time.Duration) {
	if r.terminal {
		fmt.Fprintf(r.out, "  %-34s %6d ms\n", what, took.Milliseconds())
		return
	}
	slog.Info("started", "part", what, "ms", took.Milliseconds())
}

// Ready implements server.Observer.
func (r *reporter) Ready(s server.Summary) {
	r.notify.ready("serving "+s.URL, s.Healthy)
	if !r.terminal {
		slog.Info("ready", "node", s.Node, "url", s.URL, "kubeconfig", s.Kubeconfig, "ms", s.Took.Milliseconds())
		return
	}
	fmt.Fprintf(r.out, "\nSkiff is ready after %.1f s, at %s. Ctrl-C stops it; containers run on.\n\n", s.Took.Seconds(), s.URL)
	fmt.Fprintf(r.out, "  look around:       skiff kubectl get pods -A\n")
	if s.Kubeconfig != "" {
		fmt.Fprintf(r.out, "  your own kubectl:  export KUBECONFIG=%s\n", s.Kubeconfig)
	}
	if s.Token != "" {
		fmt.Fprintf(r.out, "  one more box:      skiff agent --server %s --token %s\n", s.URL, s.Token)
	}
}

// Stopping implements server.Observer.
func (r *reporter) Stopping() {
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
