package cli_test

import (
	"context"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"skiff/cli"
)

// TestMain lets the scripts run this test's own executable as skiff.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"skiff": func() { os.Exit(cli.Main(context.Background(), os.Args, os.Stdout, os.Stderr)) },
	})
}
