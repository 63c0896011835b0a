// Package check finds out whether a box is fit to run Skiff: each Check looks at
// one thing and says what to do if it is not well. Checks only look; they change
// nothing.
package check

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
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

// Box is what the checks need to know of the planned server.
type Box struct {
	DataDir   string
	HTTPSPort int
}

// All is the list of checks for a server, in the order of the table.
func All(b Box) []Check {
	return []Check{
		{"root", root},
		{"kernel", kernel},
		{"cgroups", cgroups},
		{"kernel features", features},
		{"nftables", nftables},
		{"capabilities", capabilities},
		{"memory", memory},
		{"data folder", func(context.Context) Result { return dataDir(b.DataDir) }},
		{"ports", func(ctx context.Context) Result { return ports(ctx, b) }},
		{"clock", clock},
	}
}
