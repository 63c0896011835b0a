package cli_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"skiff/cli"
	"skiff/runtime/payload"
)

// TestMain lets the scripts run this test's own executable as skiff.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"skiff": func() { os.Exit(cli.Main(context.Background(), os.Args, os.Stdout, os.Stderr)) },
	})
}

// TestScripts runs testdata/script. SKIFF_CONFIG names an empty file, so that a
// configuration of this box has no part in it.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			config := filepath.Join(e.WorkDir, ".empty.yaml")
			e.Setenv("SKIFF_CONFIG", config)
			e.Setenv("SKIFF_DATA_DIR", filepath.Join(e.WorkDir, "data"))
			e.Setenv("SKIFF_WRITE_KUBECONFIG", filepath.Join(e.WorkDir, "kubeconfig.yaml"))
			return os.WriteFile(config, nil, 0o600)
		},
		Condition: func(name string) (bool, error) {
			switch name {
			case "root":
				return os.Geteuid() == 0, nil
			case "payload":
				return payload.Available() == nil, nil
			}
			return false, errors.New("unknown condition " + name)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
	})
}

// exits is "exits CODE COMMAND...": it runs the command and fails unless it ends
// with that code, or with any. Its output is there for stdout and stderr.
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
