package overlay

import "net/netip"

// MTU is what the pods' links of a node can have: the packets of the link with the
// node's address, less what the mode adds; or the configured one, if that is
// neither 0 nor more. The error (an *MTUError, if the MTU does not fit) is one
// line; with one that is not 0, pods can run all the same.
func MTU(mode Mode, addresses []netip.Addr, blocks []netip.Prefix, configured int) (int, error) {
	t, err := openTables("")
	if err != nil {
		return 0, err
	}
	defer t.close()
	links, err := t.links()
	if err != nil {
		return 0, err
	}
	u, err := t.underlay(links)
	if err != nil {
		return 0, err
	}
	return u.mtu(mode, Node{Addresses: addresses, Blocks: blocks}, configured)
}
