package cli_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"skiff/cli"
	"skiff/runtime/payload"
	"skiff/test/script"
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
		Cmds: script.Commands(),
	})
}
