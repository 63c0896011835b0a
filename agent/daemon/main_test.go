package daemon

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"skiff/server"
)

// An agent changes its box: addresses, rules, mounts. So these tests run in a box
// of their own: this executable again, in a network and a mount namespace. A
// server runs there as a process of its own, as what an agent leaves behind is
// looked for in this one.
const (
	envRole    = "DAEMON_TEST_ROLE"
	envDataDir = "DAEMON_TEST_DATA_DIR"
)

// The addresses of the box: the server's and the agent's.
var (
	serverAddr = netip.MustParseAddr("192.0.2.1")
	nodeAddr   = netip.MustParseAddr("192.0.2.2")
)

func TestMain(m *testing.M) {
	switch role := os.Getenv(envRole); {
	case role == "server":
		if err := serve(os.Getenv(envDataDir)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case role == "" && os.Geteuid() == 0:
		cmd := again("box", os.Args[1:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.SysProcAttr = &unix.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
		if err := cmd.Run(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case role == "":
		os.Exit(m.Run()) // without a box
	default:
		if err := furnish(); err != nil {
			fmt.Fprintln(os.Stderr, "make a box:", err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	}
}

// again is this executable in another role.
func again(role string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), envRole+"="+role)
	return cmd
}

// furnish makes this process's namespaces a box with a link.
func furnish() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	link := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "lan0"}}
	if err := errors.Join(netlink.LinkSetUp(lo), netlink.LinkAdd(link), netlink.LinkSetUp(link)); err != nil {
		return err
	}
	for _, a := range []netip.Addr{serverAddr, nodeAddr} {
		address, err := netlink.ParseAddr(a.String() + "/24")
		if err != nil {
			return err
		}
		if err := netlink.AddrAdd(link, address); err != nil {
			return err
		}
	}
	return nil
}

// serve runs a server without a node, prints its token when it is ready, and ends
// with the standard input.
func serve(dir string) error {
	cfg := server.Config{
		DataDir: dir, NodeName: "server", NodeIPs: []netip.Addr{serverAddr}, HTTPSPort: 6443,
		ClusterCIDRs:  []netip.Prefix{netip.MustParsePrefix("10.42.0.0/16")},
		ServiceCIDRs:  []netip.Prefix{netip.MustParsePrefix("10.43.0.0/16")},
		ClusterDomain: "cluster.local", DisableAgent: true,
	}
	if err := cfg.Validate(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return server.Run(ctx, cfg, teller{})
}

// teller is the server's observer.
type teller struct{}

func (teller) Step(string, time.Duration) {}
func (teller) Ready(s server.Summary)     { fmt.Println(s.Token) }
func (teller) Stopping()                  {}

// startServer runs a server until the end of the test and returns its token.
func startServer(t *testing.T) string {
	t.Helper()
	if os.Getenv(envRole) == "" {
		t.Skip("needs root: an agent changes its box")
	}
	cmd := again("server")
	cmd.Env = append(cmd.Env, envDataDir+"="+t.TempDir())
	cmd.Stderr = t.Output()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the server: %v", err)
		}
	})
	token, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("the server was never ready: %v", err)
	}
	return strings.TrimSpace(token)
}
