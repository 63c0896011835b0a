package check

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	nft "github.com/google/nftables"

	"skiff/hostnet"
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

// ranges looks for networks of the box that overlap those of the cluster, which
// a server refuses.
func (b Box) ranges(context.Context) Result {
	conflict, err := hostnet.Find(b.Ranges)
	if err != nil {
		return warn(err.Error(), "cannot list the box's networks")
	}
	if conflict != nil {
		return fail(fmt.Sprintf("%s overlaps %s of %s", conflict.Range, conflict.Network, conflict.Link), "hosts there would be out of reach, choose another --"+conflict.Key)
	}
	var found []string
	for _, list := range b.Ranges {
		for _, p := range list {
			found = append(found, p.String())
		}
	}
	slices.Sort(found)
	return ok("%s are free", strings.Join(found, ", "))
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
	pods := joinPrefixes(b.Ranges["cluster-cidr"])
	if pods == "" {
		pods = "the server's --cluster-cidr"
	}
	for _, c := range chains {
		if c.Hooknum == nil || c.Policy == nil || *c.Policy != nft.ChainPolicyDrop {
			continue
		}
		if *c.Hooknum == *nft.ChainHookForward || *c.Hooknum == *nft.ChainHookInput {
			return warn(fmt.Sprintf("chain %s of table %s drops by default", c.Name, c.Table.Name),
				"let pass there what comes from and goes to the pods: "+pods)
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
