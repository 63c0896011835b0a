package check

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	nft "github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"skiff/netdump"
)

// rivals are the node agents of other clusters, as the kernel names their
// processes.
var rivals = []string{"kubelet", "k3s", "k3s-server", "k3s-agent", "k0s", "kubelite", "rke2"}

// others looks for another cluster's node on this box: both would program the
// same cgroups and packets.
func others(context.Context) Result {
	own, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		return warn(err.Error(), "cannot look at processes")
	}
	names, _ := filepath.Glob("/proc/[0-9]*/comm") // cannot fail
	for _, path := range names {
		b, err := os.ReadFile(path)
		name := strings.TrimSpace(string(b))
		if err != nil || !slices.Contains(rivals, name) {
			continue
		}
		// One in a container's network is another box.
		if network, err := os.Readlink(filepath.Join(filepath.Dir(path), "ns/net")); err == nil && network == own {
			return warn(name+" runs (process "+strings.Split(path, "/")[2]+")", "stop and disable it: two nodes on one box disturb each other")
		}
	}
	return ok("none")
}

// ranges looks for networks of the box that overlap those of the cluster.
func (b Box) ranges(context.Context) Result {
	routes, err := netdump.Whole(func() ([]netlink.Route, error) {
		return netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return warn(err.Error(), "cannot list the box's routes")
	}
	var found []string
	for _, key := range slices.Sorted(maps.Keys(b.Ranges)) {
		for _, p := range b.Ranges[key] {
			for i := range routes {
				if with := overlap(p.String(), &routes[i]); with != "" {
					return warn(fmt.Sprintf("%s overlaps %s", p, with), "hosts there will be out of reach, choose another --"+key)
				}
			}
			found = append(found, p.String())
		}
	}
	slices.Sort(found)
	return ok("%s are free", strings.Join(found, ", "))
}

// overlap tells which network of the box a range overlaps, "" for none. Routes
// to skiff's own links and to loopback are those of an earlier start.
func overlap(cidr string, r *netlink.Route) string {
	if r.Dst == nil || r.Dst.IP.IsUnspecified() {
		return ""
	}
	wanted, err := netlink.ParseIPNet(cidr)
	if err != nil || !wanted.Contains(r.Dst.IP) && !r.Dst.Contains(wanted.IP) {
		return ""
	}
	link, err := netlink.LinkByIndex(r.LinkIndex)
	if err != nil || link.Attrs().Name == "lo" || strings.HasPrefix(link.Attrs().Name, "skiff") {
		return ""
	}
	return fmt.Sprintf("%s of %s", r.Dst, link.Attrs().Name)
}

// firewall looks for chains that drop what nobody let pass: skiff's own rules
// cannot overrule those.
func (b Box) firewall(context.Context) Result {
	if os.Geteuid() != 0 {
		return warn("not known", "run skiff check as root to find out")
	}
	conn, err := nft.New()
	if err != nil {
		return warn(err.Error(), "cannot list the firewall's chains")
	}
	chains, err := conn.ListChains()
	if err != nil {
		return warn(err.Error(), "cannot list the firewall's chains")
	}
	for _, c := range chains {
		if c.Hooknum == nil || c.Policy == nil || *c.Policy != nft.ChainPolicyDrop {
			continue
		}
		if *c.Hooknum == *nft.ChainHookForward || *c.Hooknum == *nft.ChainHookInput {
			return warn(fmt.Sprintf("chain %s of table %s drops by default", c.Name, c.Table.Name),
				"let pass there what comes from and goes to the pods: "+joinPrefixes(b.Ranges["cluster-cidr"]))
		}
	}
	return ok("nothing is dropped by default")
}

func joinPrefixes(list []netip.Prefix) string {
	var texts []string
	for _, p := range list {
		texts = append(texts, p.String())
	}
	return strings.Join(texts, ", ")
}
