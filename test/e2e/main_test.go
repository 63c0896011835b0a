package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/vishvananda/netns"
)

// parallel is how many tests run at once, unless go test is told.
const parallel = 6

// manyAtOnce is a test run that waits for containers most of the time, and so
// does more at once than there are processors.
type manyAtOnce struct{ *testing.M }

func (m manyAtOnce) Run() int {
	flag.Parse()
	if flag.Lookup("test.parallel").Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		if err := flag.Set("test.parallel", strconv.Itoa(parallel)); err != nil {
			panic(err)
		}
	}
	return m.M.Run()
}

// TestMain lets the scripts run this test's own executable as the commands that
// they know.
func TestMain(m *testing.M) {
	testscript.Main(manyAtOnce{m}, map[string]func(){
		"kubectl": func() { become(envNode, append([]string{os.Getenv(envBinary), "kubectl"}, os.Args[1:]...)) },
		"skiff":   func() { become(envNode, append([]string{os.Getenv(envBinary)}, os.Args[1:]...)) },
		"inside":  func() { become(envNode, os.Args[1:]) },
		"outside": func() { become(envOutside, os.Args[1:]) },
		"on":      func() { become(envHost+os.Args[1], os.Args[2:]) },
	})
}

// The variables of a script that tell its commands where they run.
const (
	envBinary  = "E2E_SKIFF"
	envNode    = "E2E_NODE_NETNS"
	envOutside = "E2E_OUTSIDE_NETNS"
	envHost    = "E2E_NETNS_" // and the name of the host's node
)

// become enters the network namespace that a variable names, and is from there
// on the command.
func become(variable string, command []string) {
	runtime.LockOSThread()
	err := func() error {
		if len(command) == 0 {
			return fmt.Errorf("usage: %s COMMAND...", os.Args[0])
		}
		path, err := exec.LookPath(command[0])
		if err != nil {
			return err
		}
		ns, err := netns.GetFromName(os.Getenv(variable))
		if err != nil {
			return fmt.Errorf("open the namespace of $%s: %w", variable, err)
		}
		if err := netns.Set(ns); err != nil {
			return fmt.Errorf("enter the namespace of $%s: %w", variable, err)
		}
		return syscall.Exec(path, command, os.Environ())
	}()
	fmt.Fprintln(os.Stderr, err)
	os.Exit(127)
}
