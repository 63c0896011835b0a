package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/vishvananda/netlink"

	"skiff/runtime/cni"
	"skiff/runtime/cni/attach"
)

func TestPodsReachEachOther(t *testing.T) {
	h := newHost(t)
	conf := h.conf(nil)
	a, b := h.add("pod-a", conf), h.add("pod-b", conf)
	if a.ip == b.ip || !strings.HasPrefix(a.ip, "10.77.0.") {
		t.Fatalf("addresses %s and %s", a.ip, b.ip)
	}
	serve(t, a.ns, 80, "a")
	serve(t, b.ns, 80, "b")
	serve(t, h.ns, 81, "host")
	for _, c := range []struct {
		what string
		from ns.NetNS
		addr string
		want string
	}{
		{"pod to pod", a.ns, b.ip + ":80", "b"},
		{"pod to itself", a.ns, a.ip + ":80", "a"},
		{"host to pod", h.ns, b.ip + ":80", "b"},
		{"pod to host", b.ns, "10.77.0.1:81", "host"},
		{"loopback in the pod", b.ns, "127.0.0.1:80", "b"},
	} {
		if got := ask(c.from, "tcp", c.addr); got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
	h.must("CHECK", a.id, a.ns.Path(), conf)
	h.must("STATUS", "", "", conf)
	if err := h.ns.Do(func(ns.NetNS) error {
		br, err := netlink.LinkByName("skt0")
		if err == nil && br.Attrs().MTU != 1400 {
			t.Errorf("mtu of the bridge is %d, want 1400", br.Attrs().MTU)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	for range 2 { // DEL of what is gone is no error
		h.must("DEL", a.id, a.ns.Path(), conf)
	}
	h.must("DEL", b.id, "", conf) // nor without the namespace
	if l, a := h.links(), h.addresses(); len(l) > 0 || len(a) > 0 {
		t.Errorf("left over: links %v, addresses %v", l, a)
	}
	if _, err := h.run("CHECK", a.id, a.ns.Path(), conf); err == nil {
		t.Error("CHECK of a removed attachment succeeds")
	}
}

func TestDualStack(t *testing.T) {
	h := newHost(t)
	if _, err := os.Stat("/proc/net/if_inet6"); err != nil {
		t.Skip("this kernel has no IPv6")
	}
	conf := h.conf(func(c map[string]any) {
		c["ranges"] = []any{map[string]any{"subnet": "10.77.0.0/24"}, map[string]any{"subnet": "fd77::/64"}}
	})
	a, b := h.add("pod-a", conf), h.add("pod-b", conf)
	serve(t, b.ns, 80, "b")
	for _, addr := range []string{b.ip + ":80", "[fd77::3]:80"} {
		if got := ask(a.ns, "tcp", addr); got != "b" {
			t.Errorf("pod to %s: %q", addr, got)
		}
	}
}

func TestHostPorts(t *testing.T) {
	h := newHost(t)
	mapping := func(hostPort int, proto string) []byte {
		return h.conf(func(c map[string]any) {
			c["runtimeConfig"] = map[string]any{"portMappings": []any{
				map[string]any{"hostPort": hostPort, "containerPort": 80, "protocol": proto},
				map[string]any{"hostPort": hostPort + 1, "containerPort": 80, "protocol": proto, "hostIP": "127.0.0.1"},
			}}
		})
	}
	a, b := h.add("pod-a", mapping(8000, "tcp")), h.add("pod-b", mapping(8000, "udp"))
	c := h.add("pod-c", h.conf(nil))
	serve(t, a.ns, 80, "a")
	serve(t, b.ns, 80, "b")
	for _, x := range []struct {
		from                ns.NetNS
		network, addr, want string
	}{
		{h.ns, "tcp", "127.0.0.1:8000", "a"},
		{h.ns, "tcp", "10.77.0.1:8000", "a"},
		{c.ns, "tcp", "10.77.0.1:8000", "a"},
		{a.ns, "tcp", "10.77.0.1:8000", "a"}, // itself
		{h.ns, "udp", "10.77.0.1:8000", "b"},
		{c.ns, "udp", "10.77.0.1:8000", "b"},
		{h.ns, "tcp", "127.0.0.1:8001", "a"},
		{c.ns, "tcp", "10.77.0.1:8001", "error"},
	} {
		if got := ask(x.from, x.network, x.addr); !strings.HasPrefix(got, x.want) {
			t.Errorf("%s %s: %q, want %q", x.network, x.addr, got, x.want)
		}
	}
	h.must("DEL", a.id, a.ns.Path(), h.conf(nil))
	if got := ask(h.ns, "tcp", "10.77.0.1:8000"); !strings.HasPrefix(got, "error") {
		t.Errorf("host port of a removed pod answers %q", got)
	}
	if got := ask(h.ns, "udp", "10.77.0.1:8000"); got != "b" {
		t.Errorf("host port of the other pod: %q", got)
	}
	// A pod must not get at what listens on the host's loopback.
	serve(t, h.ns, 9000, "secret")
	if err := c.ns.Do(func(ns.NetNS) error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		_, loopback, _ := net.ParseCIDR("127.0.0.1/32")
		if err := netlink.LinkSetDown(lo); err != nil {
			return err
		}
		if err := os.WriteFile("/proc/sys/net/ipv4/conf/eth0/route_localnet", []byte("1"), 0o644); err != nil {
			return err
		}
		return netlink.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: loopback, Gw: []byte{10, 77, 0, 1}})
	}); err != nil {
		t.Fatal(err)
	}
	if got := ask(c.ns, "tcp", "127.0.0.1:9000"); got == "secret" {
		t.Error("a pod reaches the host's loopback")
	}
}

func TestGC(t *testing.T) {
	h := newHost(t)
	conf := h.conf(func(c map[string]any) {
		c["runtimeConfig"] = map[string]any{"portMappings": []any{map[string]any{"hostPort": 8000, "containerPort": 80, "protocol": "tcp"}}}
	})
	h.add("pod-a", conf)
	b := h.add("pod-b", h.conf(nil))
	h.must("GC", "", "", h.conf(func(c map[string]any) {
		c["cni.dev/valid-attachments"] = []any{map[string]string{"containerID": "pod-b", "ifname": "eth0"}}
	}))
	if l, a := h.links(), h.addresses(); len(l) != 1 || len(a) != 1 || filepath.Base(a[0]) != b.ip {
		t.Errorf("after GC: links %v, addresses %v; want those of pod-b", l, a)
	}
	cfg := cni.Config{Network: "testnet", Bridge: "skt0", Table: "skt-hostports", StateDir: h.stateDir}
	for range 2 {
		if err := h.ns.Do(func(ns.NetNS) error { return cfg.Remove() }); err != nil {
			t.Fatal(err)
		}
	}
	if l := h.links(); len(l) != 0 {
		t.Errorf("after Remove: links %v", l)
	}
}

// TestHalfMadeLink leaves what a plugin that is killed at the wrong moment leaves.
func TestHalfMadeLink(t *testing.T) {
	h := newHost(t)
	a := h.add("pod-a", h.conf(nil))
	if err := h.ns.Do(func(ns.NetNS) error {
		link, err := netlink.LinkByName(attach.HostLink("pod-a", "eth0"))
		if err != nil {
			return err
		}
		return netlink.LinkSetNoMaster(link)
	}); err != nil {
		t.Fatal(err)
	}
	h.add("pod-b", h.conf(nil))
	cfg := cni.Config{Bridge: "skt0", Table: "skt-hostports", StateDir: h.stateDir}
	if err := h.ns.Do(func(ns.NetNS) error { return cfg.GC([]cni.Attachment{{ContainerID: "pod-b", IfName: "eth0"}}) }); err != nil {
		t.Fatal(err)
	}
	if l, want := h.links(), attach.HostLink("pod-b", "eth0"); len(l) != 1 || l[0] != want {
		t.Errorf("links %v, want only %s, and none of %s", l, want, a.id)
	}
}

// TestReboot gives pods new sandboxes after all of /run is gone.
func TestReboot(t *testing.T) {
	h := newHost(t)
	memory := filepath.Join(t.TempDir(), "addresses")
	conf := h.conf(func(c map[string]any) { c["memoryDir"] = memory })
	as := func(uid, id string) string {
		t.Setenv("CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=x;K8S_POD_INFRA_CONTAINER_ID="+id+";K8S_POD_UID="+uid)
		return h.add(id, conf).ip
	}
	a, b := as("uid-a", "1"), as("uid-b", "2")
	h.stateDir = filepath.Join(t.TempDir(), "state")
	h.ns = newNetNS(t)
	conf = h.conf(func(c map[string]any) { c["memoryDir"] = memory })
	if gotB, gotA := as("uid-b", "3"), as("uid-a", "4"); gotA != a || gotB != b {
		t.Errorf("after a reboot pods have %s and %s, want %s and %s", gotA, gotB, a, b)
	}
}

func TestParallelAndKilled(t *testing.T) {
	h := newHost(t)
	conf := h.conf(nil)
	pods := make([]pod, 8)
	for i := range pods {
		pods[i] = pod{id: fmt.Sprintf("pod-%d", i), ns: newNetNS(t)}
	}
	var wg sync.WaitGroup
	for i, p := range pods {
		wg.Go(func() {
			if i%2 == 0 {
				if _, err := h.run("ADD", p.id, p.ns.Path(), conf); err != nil {
					t.Error(err)
				}
				return
			}
			cmd := h.command("ADD", p.id, p.ns.Path(), conf)
			if err := h.ns.Do(func(ns.NetNS) error { return cmd.Start() }); err != nil {
				t.Error(err)
				return
			}
			time.Sleep(time.Duration(5+7*i) * time.Millisecond) // a moment as good as any
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
	}
	wg.Wait()
	var valid []cni.Attachment
	for i := 0; i < len(pods); i += 2 {
		valid = append(valid, cni.Attachment{ContainerID: pods[i].id, IfName: "eth0"})
		h.must("CHECK", pods[i].id, pods[i].ns.Path(), conf)
	}
	cfg := cni.Config{Network: "testnet", Bridge: "skt0", Table: "skt-hostports", StateDir: h.stateDir}
	if err := h.ns.Do(func(ns.NetNS) error { return cfg.GC(valid) }); err != nil {
		t.Fatal(err)
	}
	if l, a := h.links(), h.addresses(); len(l) != 4 || len(a) != 4 {
		t.Errorf("after GC: links %v, addresses %v; want four of each", l, a)
	}
	// What was cut short can be done again.
	for i := 1; i < len(pods); i += 2 {
		h.must("ADD", pods[i].id, pods[i].ns.Path(), conf)
		h.must("CHECK", pods[i].id, pods[i].ns.Path(), conf)
	}
}

func TestBadConfig(t *testing.T) {
	h := newHost(t)
	for _, c := range []struct {
		change func(map[string]any)
		want   string
	}{
		{func(c map[string]any) { delete(c, "bridge") }, `network "testnet": bridge: name is missing`},
		{func(c map[string]any) { c["bridge"] = "a-name-that-is-far-too-long" }, "longer than the 15 bytes"},
		{func(c map[string]any) { c["ranges"] = []any{} }, "ranges is empty"},
		{func(c map[string]any) { c["ranges"] = []any{map[string]any{"subnet": "10.77.0.9"}} }, `ranges[0]: subnet "10.77.0.9" is not a CIDR`},
		{func(c map[string]any) { c["ranges"] = []any{map[string]any{"subnet": "10.77.0.9/24"}} }, "did you mean 10.77.0.0/24?"},
		{func(c map[string]any) { c["mtu"] = 12 }, "mtu: 12 is not between 576 and 65535"},
		{func(c map[string]any) { c["mtu"] = "big" }, "not valid JSON for skiff-cni"},
		{func(c map[string]any) { delete(c, "stateDir") }, "stateDir is missing"},
	} {
		out, err := h.run("STATUS", "", "", h.conf(c.change))
		var e struct{ Msg string }
		if err == nil || json.Unmarshal([]byte(out), &e) != nil || !strings.Contains(e.Msg, c.want) || strings.Contains(e.Msg, "\n") {
			t.Errorf("got %q, want one line with %q", e.Msg, c.want)
		}
	}
	p := newNetNS(t)
	if _, err := h.run("ADD", "x", p.Path(), h.conf(func(c map[string]any) {
		c["runtimeConfig"] = map[string]any{"portMappings": []any{map[string]any{"hostPort": 1, "containerPort": 2, "protocol": "icmp"}}}
	})); err == nil || !strings.Contains(err.Error(), `protocol \"icmp\" is not one of`) {
		t.Errorf("unknown protocol: error %v", err)
	}
	if l, a := h.links(), h.addresses(); len(l) > 0 || len(a) > 0 {
		t.Errorf("a failed ADD leaves links %v, addresses %v", l, a)
	}
}

// TestNewBlock gives the node another block: the gateway moves.
func TestNewBlock(t *testing.T) {
	h := newHost(t)
	h.add("pod-a", h.conf(nil))
	b := h.add("pod-b", h.conf(func(c map[string]any) { c["ranges"] = []any{map[string]any{"subnet": "10.78.0.0/24"}} }))
	if ip := netip.MustParseAddr(b.ip); !netip.MustParsePrefix("10.78.0.0/24").Contains(ip) {
		t.Errorf("address %s is not out of the new block", ip)
	}
	serve(t, b.ns, 80, "b")
	if got := ask(h.ns, "tcp", b.ip+":80"); got != "b" {
		t.Errorf("host to pod: %q", got)
	}
}
