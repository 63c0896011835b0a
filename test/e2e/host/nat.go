package host

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netns"
)

// hidden are the addresses of networks behind others: TEST-NET-3 (RFC 5737).
var hidden = netip.MustParsePrefix("203.0.113.0/24")

// NewNetworkBehind makes a network behind a router: its hosts reach the outer
// network, where they all have the router's address, and nobody there reaches
// them. It is removed at the end of the test.
func NewNetworkBehind(t testing.TB, outer *Network) *Network {
	t.Helper()
	n := newNetwork(t, hidden)
	inner := n.next()
	n.router = inner.Addr()
	err := n.place.inside(func() error {
		return errors.Join(addAddress(bridge, inner), os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0))
	})
	if err == nil {
		err = outer.attach(n.place, outer.next(), netip.Addr{})
	}
	if err == nil {
		err = n.place.masquerade()
	}
	if err != nil {
		t.Fatalf("make a network behind another: %v", err)
	}
	return n
}

// masquerade gives what leaves the namespace by its uplink the uplink's address.
func (p *place) masquerade() error {
	ns, err := netns.GetFromName(p.name)
	if err != nil {
		return fmt.Errorf("open namespace %s: %w", p.name, err)
	}
	defer ns.Close()
	nft, err := nftables.New(nftables.WithNetNSFd(int(ns)))
	if err != nil {
		return err
	}
	table := nft.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "router"})
	chain := nft.AddChain(&nftables.Chain{
		Name: "postrouting", Table: table, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource,
	})
	name := make([]byte, 16) // as the kernel holds the name of a link
	copy(name, uplink)
	nft.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
		&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: name},
		&expr.Masq{},
	}})
	if err := nft.Flush(); err != nil {
		return fmt.Errorf("hide a network behind its router: %w", err)
	}
	return nil
}
