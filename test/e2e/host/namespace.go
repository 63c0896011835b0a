package host

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// alone is the address of a host without a Network: the first of TEST-NET-1
// (RFC 5737), which is nobody's.
var alone = netip.MustParsePrefix("192.0.2.1/24")

func (p *place) namespacePath() string { return filepath.Join("/run/netns", p.name) }

// onThread runs f on a thread that no other goroutine uses, so that f may change
// its network namespace, and gives the thread back as it was. If that fails the
// thread stays locked, and ends with its goroutine.
func onThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		before, err := netns.Get()
		if err != nil {
			done <- fmt.Errorf("open this thread's network namespace: %w", err)
			return
		}
		defer before.Close()
		err = f()
		if back := netns.Set(before); back == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

// inside runs f on a thread that is in the namespace. Goroutines that f starts
// are not.
func (p *place) inside(f func() error) error {
	return onThread(func() error {
		ns, err := netns.GetFromName(p.name)
		if err != nil {
			return fmt.Errorf("open namespace %s: %w", p.name, err)
		}
		defer ns.Close()
		if err := netns.Set(ns); err != nil {
			return fmt.Errorf("enter namespace %s: %w", p.name, err)
		}
		return f()
	})
}

// makeNamespace makes the namespace, with its loopback up.
func (p *place) makeNamespace() error {
	return onThread(func() error {
		ns, err := netns.NewNamed(p.name)
		if err != nil {
			return fmt.Errorf("make namespace %s: %w", p.name, err)
		}
		defer ns.Close()
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return fmt.Errorf("loopback of namespace %s: %w", p.name, err)
		}
		return netlink.LinkSetUp(lo)
	})
}

func (p *place) deleteNamespace() error {
	err := netns.DeleteNamed(p.name)
	if errors.Is(err, unix.EINVAL) { // not mounted: its making was interrupted
		err = os.Remove(p.namespacePath())
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// uplink is the name of a host's link to the world.
const uplink = "eth0"

// linkToNowhere gives the namespace a link that is up, though nobody is at its
// other end.
func (p *place) linkToNowhere() error {
	return p.inside(func() error {
		err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: uplink}, PeerName: "nowhere"})
		if err != nil {
			return fmt.Errorf("make link %s: %w", uplink, err)
		}
		return errors.Join(linkUp("nowhere"), addressUplink(alone, netip.Addr{}))
	})
}

// addressUplink gives the link to the world its address, and lets the default
// route lead to the gateway, if that is valid. It is called in the namespace, as
// are the functions that follow.
func addressUplink(addr netip.Prefix, gateway netip.Addr) error {
	if err := addAddress(uplink, addr); err != nil || !gateway.IsValid() {
		return err
	}
	if err := netlink.RouteAdd(&netlink.Route{Gw: gateway.AsSlice()}); err != nil {
		return fmt.Errorf("add a default route by way of %s: %w", gateway, err)
	}
	return nil
}

// addAddress gives a link an address, and sets it up.
func addAddress(name string, addr netip.Prefix) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	if err := netlink.AddrAdd(link, linkAddress(addr)); err != nil {
		return fmt.Errorf("give %s to %s: %w", addr, name, err)
	}
	return linkUp(name)
}

func removeAddress(name string, addr netip.Prefix) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	if err := netlink.AddrDel(link, linkAddress(addr)); err != nil {
		return fmt.Errorf("take %s from %s: %w", addr, name, err)
	}
	return nil
}

func linkAddress(p netip.Prefix) *netlink.Addr {
	return &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}}
}

func linkUp(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("set link %s up: %w", name, err)
	}
	return nil
}

// processes are those that live in the namespace.
func (p *place) processes() ([]int, error) {
	var own, its unix.Stat_t
	if err := unix.Stat(p.namespacePath(), &own); err != nil {
		return nil, nil // no namespace, no process
	}
	procs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, proc := range procs {
		pid, err := strconv.Atoi(filepath.Base(proc))
		if err == nil && unix.Stat(filepath.Join(proc, "ns/net"), &its) == nil && its.Ino == own.Ino && its.Dev == own.Dev {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}
