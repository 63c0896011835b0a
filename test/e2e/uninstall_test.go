package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"

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

	if out := h.Skiff("uninstall", "--yes"); !strings.Contains(out, "removed "+h.DataDir) {
		t.Errorf("uninstall says %q", out)
	}
	if err := h.Wait(); err != nil {
		t.Errorf("the server that was stopped: %v", err)
	}
	if missing := before.Minus(h.State()); len(missing) > 0 {
		t.Errorf("removed what is not skiff's: %q", missing)
	}
	if left := h.State().Minus(before); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	if _, err := os.Stat(letter); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(h.DataDir); !os.IsNotExist(err) {
		t.Errorf("%s is still there, or: %v", h.DataDir, err)
	}

	// Once more finds nothing to do, and a new server begins from nothing.
	h.Skiff("uninstall", "--yes")
	h.Start()
	if out := h.Kubectl("get", "pods"); out != "" {
		t.Errorf("a new cluster has pods:\n%s", out)
	}
}

const foreign = "foreign"

// makeForeign gives the namespace what another program may have made: a bridge
// with an address, a routing rule, tables whose names are like skiff's.
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
	if err := netlink.RuleAdd(foreignRule()); err != nil {
		return err
	}
	return changeForeignTables((*nftables.Conn).AddTable)
}

func foreignRule() *netlink.Rule {
	rule := netlink.NewRule()
	rule.Priority, rule.Table, rule.Family = 77, 77, netlink.FAMILY_V4
	return rule
}

func changeForeignTables(change func(*nftables.Conn, *nftables.Table) *nftables.Table) error {
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
	return changeForeignTables(func(nft *nftables.Conn, t *nftables.Table) *nftables.Table {
		nft.DelTable(t)
		return t
	})
}
