package docs

import (
	"context"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"k8s.io/component-base/cli"
	"k8s.io/kubectl/pkg/cmd"

	skiff "skiff/cli"
)

// TestMain lets the tests run this executable as skiff and as kubectl, which is
// the one that skiff carries.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"skiff":   func() { os.Exit(skiff.Main(context.Background(), os.Args, os.Stdout, os.Stderr)) },
		"kubectl": func() { os.Exit(cli.Run(cmd.NewDefaultKubectlCommand())) },
	})
}
