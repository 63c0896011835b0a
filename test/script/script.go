// Package script has the commands that several sets of testscript scripts share.
package script

import (
	"errors"
	"os/exec"
	"regexp"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// Commands are what scripts know besides testscript's own:
//
//	exits CODE COMMAND...    fails unless the command ends with that code, or with
//	                         any
//	until REGEXP COMMAND...  repeats a command until it succeeds and prints what
//	                         matches
//
// Their commands' output is there for stdout and stderr.
func Commands() map[string]func(ts *testscript.TestScript, neg bool, args []string) {
	return map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "until": until}
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	err := ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	got := 0
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if args[0] != "any" && args[0] != strconv.Itoa(got) {
		ts.Fatalf("exit code %d, want %s\n%s", got, args[0], ts.ReadFile("stderr"))
	}
}

const (
	// untilTimeout is for a loaded machine.
	untilTimeout = time.Minute
	untilPause   = 200 * time.Millisecond
)

func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until REGEXP COMMAND...")
	}
	wanted, err := regexp.Compile(`(?m)` + args[0])
	ts.Check(err)
	for deadline := time.Now().Add(untilTimeout); ; time.Sleep(untilPause) {
		err := ts.Exec(args[1], args[2:]...)
		if err == nil && wanted.MatchString(ts.ReadFile("stdout")) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("within %s %q did not print what matches %q; its last words:\n%s%s%v",
				untilTimeout, args[1:], args[0], ts.ReadFile("stdout"), ts.ReadFile("stderr"), err)
		}
	}
}
