package script_test

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"skiff/test/script"
)

func TestCommands(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata", Cmds: script.Commands()})
}
