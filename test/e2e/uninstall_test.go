package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"

	"skiff/runtime/instance"
	"skiff/test/e2e/host"
)

// TestUninstall removes everything that a used server made, and nothing else. The
// server runs, and is stopped.
func TestUninstall(t *testing.T) {
	t.Parallel()
	h := host.New(t, host.Config{})
	letter := filepath.Join(h.Dir, "letter")
	if err := os.WriteFile(letter, []byte("dear"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := h.Inside(makeForeign); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Inside(removeForeign); err != nil {
			t.Error(err)
		}
	})
	before := h.State()
	h.Start()
	importBox(t, h)
	h.Kubectl("create", "deployment", "web", "--image="+boxImage, "--replicas=2", "--", "probe", "serve")
	h.Kubectl("expose", "deployment", "web", "--port=80", "--target-port=8080", "--type=NodePort", "--external-ip=203.0.113.1")
	h.Kubectl("run", "port", "--image="+boxImage, `--overrides={"spec":{"containers":[{"name":"port","image":"`+boxImage+`","command":["probe","serve"],"ports":[{"containerPort":8080,"hostPort":18080}]}]}}`)
	h.Kubectl("rollout", "status", "deployment/web", "--timeout=60s")
	h.Kubectl("wait", "--for=condition=Ready", "pod/port", "--timeout=60s")

	uninstall(t, h, before, "removed "+h.DataDir+" (a server, with its cluster)")
	if _, err := os.Stat(letter); err != nil {
		t.Error(err)
	}

	// Once more finds nothing to do, and a new server begins from nothing.
	h.Skiff("uninstall", "--yes")
	h.Start()
	if out := h.Kubectl("get", "pods"); out != "" {
		t.Errorf("a new cluster has pods:\n%s", out)
	}
}

// uninstall removes all that was made on a host, of which a process still runs.
func uninstall(t *testing.T, h *host.Host, before host.State, says string) {
	t.Helper()
	if out := h.Skiff("uninstall", "--yes"); !strings.Contains(out, says) {
		t.Errorf("uninstall says %q", out)
	}
	if err := h.Wait(); err != nil {
		t.Errorf("what was stopped: %v", err)
	}
	if missing := before.Minus(h.State()); len(missing) > 0 {
		t.Errorf("removed what is not skiff's: %q", missing)
	}
	if left := h.State().Minus(before); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	if _, err := os.Stat(h.DataDir); !os.IsNotExist(err) {
		t.Errorf("%s is still there, or: %v", h.DataDir, err)
	}
}

// TestUninstallAgent removes everything that a node made on its box, where pods
// and an overlay to other nodes were, and nothing of the cluster. The node's name
// is free once the cluster has forgotten it.
func TestUninstallAgent(t *testing.T) {
	t.Parallel()
	lan := host.NewNetwork(t)
	server, two := host.New(t, host.Config{Network: lan}), host.New(t, host.Config{Network: lan, NodeName: "two"})
	if err := two.Inside(makeForeign); err != nil {
		t.Fatal(err)
	}
	before := two.State()
	server.Start()
	alone := ways(server)
	join := []string{"--server", server.URL(), "--token", server.Token()}
	if r := two.Run("skiff", append([]string{"check"}, join...)...); r.Code != 0 || !regexp.MustCompile(`(?m)^server +ok`).MatchString(r.Stdout) {
		t.Errorf("a box on which an agent can run does not pass its check: code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	two.StartAgent(server)
	if r := two.Run("skiff", append([]string{"check"}, join...)...); r.Code != 0 || !strings.Contains(r.Stdout, "10250 is used by the skiff of this data folder") {
		t.Errorf("check of the folder that an agent runs from: code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	importBox(t, two)
	server.Kubectl("cordon", "box")
	server.Kubectl("create", "deployment", "web", "--image="+boxImage, "--replicas=2", "--", "probe", "serve")
	server.Kubectl("expose", "deployment", "web", "--port=80", "--target-port=8080", "--type=NodePort")
	server.Kubectl("rollout", "status", "deployment/web", "--timeout=60s")
	made := strings.Join(two.State().Minus(before), "\n")
	for _, want := range []string{instance.Of(two.DataDir).Overlay(), instance.Of(two.DataDir).Bridge()} {
		if !strings.Contains(made, want) {
			t.Errorf("the agent made no %s:\n%s", want, made)
		}
	}

	uninstall(t, two, before, "removed "+two.DataDir+" (an agent, the node two of another box's cluster)")
	if err := two.Inside(removeForeign); err != nil {
		t.Fatal(err)
	}
	if left := two.Left(); len(left) > 0 { // mounts, cgroups, files, processes
		t.Errorf("left: %q", left)
	}
	refused(t, two.Run("skiff", append([]string{"agent"}, join...)...), 1, `^skiff: .*two.*kubectl delete node two`)
	if slices.Equal(ways(server), alone) {
		t.Error("the server has no way to the node")
	}
	server.Kubectl("delete", "node", "two")
	eventually(t, "the server forgets the way to the node", func() error {
		if left := ways(server); !slices.Equal(left, alone) {
			return fmt.Errorf("it has %q, before it had %q", left, alone)
		}
		return nil
	})
	two.StartAgent(server)
}

// ways are what a host has to reach others by.
func ways(h *host.Host) []string {
	return slices.DeleteFunc(h.State(), func(line string) bool {
		kind, _, _ := strings.Cut(line, " ")
		return kind != "link" && kind != "neighbour" && kind != "route"
	})
}

const foreign = "foreign"

// makeForeign gives the namespace what another program may have made: a bridge
// with an address, a route, a routing rule, and tables whose names are like skiff's,
// with rules.
func makeForeign() error {
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: foreign}}
	if err := netlink.LinkAdd(bridge); err != nil {
		return err
	}
	address, err := netlink.ParseAddr("198.51.100.1/24")
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(bridge, address); err != nil {
		return err
	}
	if err := netlink.LinkSetUp(bridge); err != nil {
		return err
	}
	_, network, err := net.ParseCIDR("198.18.0.0/15")
	if err != nil {
		return err
	}
	if err := netlink.RouteAdd(&netlink.Route{Dst: network, Gw: net.IPv4(198, 51, 100, 2)}); err != nil {
		return err
	}
	if err := netlink.RuleAdd(foreignRule()); err != nil {
		return err
	}
	return changeForeignTables(addForeignTable)
}

func addForeignTable(nft *nftables.Conn, t *nftables.Table) {
	chain := nft.AddChain(&nftables.Chain{
		Name: "forward", Table: nft.AddTable(t), Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter,
	})
	nft.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: []expr.Any{&expr.Counter{}}})
}

func foreignRule() *netlink.Rule {
	rule := netlink.NewRule()
	rule.Priority, rule.Table, rule.Family = 77, 77, netlink.FAMILY_V4
	return rule
}

func changeForeignTables(change func(*nftables.Conn, *nftables.Table)) error {
	nft, err := nftables.New()
	if err != nil {
		return err
	}
	for _, name := range []string{foreign, "skiff-of-somebody-else"} {
		change(nft, &nftables.Table{Family: nftables.TableFamilyIPv4, Name: name})
	}
	return nft.Flush()
}

func removeForeign() error {
	if err := netlink.LinkDel(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: foreign}}); err != nil {
		return err
	}
	if err := netlink.RuleDel(foreignRule()); err != nil {
		return err
	}
	return changeForeignTables((*nftables.Conn).DelTable)
}
