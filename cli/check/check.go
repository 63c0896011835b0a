// Package check finds out whether a box is fit to run Skiff: each Check looks at
// one thing and says what to do if it is not well. Checks only look; they change
// nothing.
package check

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"text/tabwriter"
	"time"

	"skiff/datadir"
	"skiff/proxy/overlay"
)

// Verdict is how well a thing is.
type Verdict string

const (
	// OK needs nothing.
	OK Verdict = "ok"
	// Warn degrades something.
	Warn Verdict = "warn"
	// Fail keeps Skiff from running.
	Fail Verdict = "FAIL"
)

// Result is what a check found.
type Result struct {
	Verdict Verdict
	// Found is what there is: "6.18.44", "overlay, bridge".
	Found string
	// Do says what to do about it; "" if nothing.
	Do string
}

func ok(format string, args ...any) Result { return Result{OK, fmt.Sprintf(format, args...), ""} }

func warn(found, do string) Result { return Result{Warn, found, do} }

func fail(found, do string) Result { return Result{Fail, found, do} }

// Check looks at one thing.
type Check struct {
	Name string
	Look func(context.Context) Result
}

// Run makes all checks and writes a table of what they found to w. It returns
// whether none failed.
func Run(ctx context.Context, w io.Writer, checks []Check) bool {
	fit := true
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "CHECK\tRESULT\tFOUND\tWHAT TO DO")
	for _, c := range checks {
		r := c.Look(ctx)
		fit = fit && r.Verdict != Fail
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", c.Name, r.Verdict, r.Found, r.Do)
	}
	table.Flush()
	return fit
}

// Box is what the checks need to know of the planned server or agent.
type Box struct {
	DataDir string
	Role    datadir.Role
	// Ports are the TCP ports that are to be listened on.
	Ports []Port
	// Node tells that the box is to be a node, with pods; DNS that it serves the
	// cluster's names.
	Node, DNS bool
	// Overlay is how the node's pods reach those of other nodes.
	Overlay overlay.Mode
	// Ranges are those of pods and services, with the keys that they are set by;
	// none if only the server knows.
	Ranges map[string][]netip.Prefix
	// Built is a time before which no right clock can be.
	Built time.Time
	// Address finds the address that the box is to be known by.
	Address func() (netip.Addr, error)
	// Server asks the server of an agent who it is, and how far this box's clock is
	// off; nil for a server.
	Server func(context.Context) (off string, err error)
}

// Port is one that is to be listened on.
type Port struct {
	At netip.AddrPort
	// Or says what else can be done than to stop who has it.
	Or string
}

// All is the list of checks, in the order of the table.
func All(b Box) []Check {
	checks := []Check{
		{"root", root},
		{"kernel", kernel},
		{"memory", memory},
		{"clock", b.clock},
		{"data folder", b.dataDir},
		{"file system", b.fileSystem},
		{"address", b.address},
		{"ports", b.ports},
		{"other clusters", others},
	}
	if b.Ranges != nil {
		checks = append(checks, Check{"address ranges", b.ranges})
	}
	if b.Server != nil {
		checks = append(checks, Check{"server", b.server})
	}
	if !b.Node {
		return checks
	}
	return append(checks, []Check{
		{"cgroups", cgroups},
		{"capabilities", capabilities},
		{"kernel features", features},
		{"overlay network", b.overlay},
		{"nftables", nftables},
		{"firewall", b.firewall},
	}...)
}
