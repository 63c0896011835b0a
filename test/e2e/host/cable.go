package host

import (
	"net/netip"
	"regexp"

	"github.com/vishvananda/netlink"
)

// Unplug pulls the cable between the host and its network: nothing comes through,
// and nobody is told. What the host has of links and addresses stays.
func (h *Host) Unplug() {
	h.t.Helper()
	h.setPort(netlink.LinkSetDown)
}

// Plug puts the cable in again.
func (h *Host) Plug() {
	h.t.Helper()
	h.setPort(netlink.LinkSetUp)
}

func (h *Host) setPort(set func(netlink.Link) error) {
	h.t.Helper()
	err := h.network.place.inside(func() error {
		port, err := netlink.LinkByName(h.place.name)
		if err != nil {
			return err
		}
		return set(port)
	})
	if err != nil {
		h.t.Fatalf("the cable of %s: %v", h.Name, err)
	}
}

// Renumber gives the host another address of its network in place of the one
// that it has, as a lease that ended does.
func (h *Host) Renumber() {
	h.t.Helper()
	old := netip.PrefixFrom(h.Addr, h.network.prefix.Bits())
	addr := h.network.next()
	err := h.place.inside(func() error {
		if err := removeAddress(uplink, old); err != nil {
			return err
		}
		return addressUplink(addr, h.way())
	})
	if err != nil {
		h.t.Fatalf("renumber %s: %v", h.Name, err)
	}
	h.Addr = addr.Addr()
	// Whatever skiff leaves is seen beside what the host has without it.
	said := regexp.MustCompile(`\b` + regexp.QuoteMeta(old.Addr().String()) + `\b`)
	for i, line := range h.empty {
		h.empty[i] = said.ReplaceAllString(line, h.Addr.String())
	}
}

// way is where everything goes that the host knows no other way to.
func (h *Host) way() netip.Addr {
	if h.gateway.IsValid() || h.network == nil {
		return h.gateway
	}
	return h.network.router
}
