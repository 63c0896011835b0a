package attach

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/vishvananda/netlink"

	"skiff/netdump"
)

// linkPrefix starts the names of the host's ends of pods' links.
const linkPrefix = "skv"

// Address is a pod's address with the gateway and subnet of its range.
type Address struct {
	IP      netip.Addr
	Gateway netip.Addr
	Subnet  netip.Prefix
}

// Spec says what to attach where.
type Spec struct {
	ContainerID string
	IfName      string
	NetNS       string
	Bridge      string
	MTU         int
	Hairpin     bool
	Addresses   []Address
}

// Links describes the two ends of an attachment.
type Links struct {
	HostName, HostMAC string
	PodMAC            string
}

// HostLink names the host's end of an attachment, so that it can be found
// without any record.
func HostLink(containerID, ifName string) string {
	sum := sha256.Sum256([]byte(containerID + "\n" + ifName))
	return linkPrefix + hex.EncodeToString(sum[:])[:11]
}

// Add makes the bridge if needed and attaches the namespace to it. A link left
// over from an attempt that was cut short is replaced.
func Add(s Spec) (*Links, error) {
	bridge, err := ensureBridge(s)
	if err != nil {
		return nil, fmt.Errorf("bridge %s: %w", s.Bridge, err)
	}
	target, err := ns.GetNS(s.NetNS)
	if err != nil {
		return nil, fmt.Errorf("open network namespace %s: %w", s.NetNS, err)
	}
	defer target.Close()
	links := &Links{HostName: HostLink(s.ContainerID, s.IfName), PodMAC: macOf(s.Addresses[0].IP).String()}
	host, err := createVeth(s, links.HostName, bridge, int(target.Fd()))
	if err != nil {
		return nil, err
	}
	links.HostMAC = host.Attrs().HardwareAddr.String()
	if err := target.Do(func(ns.NetNS) error { return configurePod(s) }); err != nil {
		return nil, errors.Join(fmt.Errorf("configure %s in the pod: %w", s.IfName, err), netlink.LinkDel(host))
	}
	return links, nil
}

func createVeth(s Spec, name string, bridge netlink.Link, nsFd int) (netlink.Link, error) {
	if err := deleteLink(name); err != nil {
		return nil, err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.MasterIndex = name, s.MTU, bridge.Attrs().Index
	attrs.Flags = net.FlagUp
	veth := &netlink.Veth{
		LinkAttrs:        attrs,
		PeerName:         s.IfName,
		PeerHardwareAddr: macOf(s.Addresses[0].IP),
		PeerNamespace:    netlink.NsFd(nsFd),
		PeerMTU:          uint32(s.MTU),
	}
	if err := netlink.LinkAdd(veth); err != nil {
		return nil, fmt.Errorf("create link %s: %w", name, err)
	}
	host, err := netlink.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("find link %s: %w", name, err)
	}
	if s.Hairpin {
		if err := netlink.LinkSetHairpin(host, true); err != nil {
			return nil, errors.Join(fmt.Errorf("set hairpin mode of %s: %w", name, err), netlink.LinkDel(host))
		}
	}
	return host, nil
}

// Del removes the link of an attachment; the pod's end goes with the host's.
// It is no error if there is none.
func Del(containerID, ifName string) error {
	return deleteLink(HostLink(containerID, ifName))
}

func deleteLink(name string) error {
	link, err := netlink.LinkByName(name)
	if isNotFound(err) {
		return nil
	}
	if err == nil {
		err = netlink.LinkDel(link)
	}
	if err != nil && !isNotFound(err) && !errors.Is(err, errNoDevice) {
		return fmt.Errorf("delete link %s: %w", name, err)
	}
	return nil
}

func isNotFound(err error) bool {
	var e netlink.LinkNotFoundError
	return errors.As(err, &e)
}

// macOf derives a locally administered MAC from an IP address.
func macOf(ip netip.Addr) net.HardwareAddr {
	b := ip.AsSlice()
	tail := b[len(b)-4:]
	return net.HardwareAddr{0x0a, 0x58, tail[0], tail[1], tail[2], tail[3]}
}

// KeepLinks removes the pods' links on the bridge whose names are not given, and
// those on no bridge: they are made before they are put on it. If that was under way
// for another instance, its pod's next try makes it again.
func KeepLinks(bridge string, keep []string) error {
	br, err := netlink.LinkByName(bridge)
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find bridge %s: %w", bridge, err)
	}
	links, err := netdump.Whole(netlink.LinkList)
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	wanted := make(map[string]bool, len(keep))
	for _, k := range keep {
		wanted[k] = true
	}
	var errs []error
	for _, l := range links {
		a := l.Attrs()
		ours := a.MasterIndex == br.Attrs().Index || a.MasterIndex == 0 && l.Type() == "veth"
		if ours && strings.HasPrefix(a.Name, linkPrefix) && !wanted[a.Name] {
			errs = append(errs, deleteLink(a.Name))
		}
	}
	return errors.Join(errs...)
}
