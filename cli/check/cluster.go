package check

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"skiff/proxy/overlay"
	"skiff/runtime/instance"
)

// server asks the server that an agent is to join who it is.
func (b Box) server(ctx context.Context) Result {
	off, err := b.Server(ctx)
	switch {
	case err != nil:
		return fail(err.Error(), "start the server, let this box out to its port, or mend --server and --token")
	case off != "":
		return warn("answers; this box's clock is "+off, "set the clock, or let NTP")
	}
	return ok("answers")
}

// carrier is what an overlay needs of the kernel, and the UDP port that it takes.
type carrier struct {
	link netlink.Link
	port uint16
}

// carrierOf returns false for a mode that needs nothing.
func carrierOf(mode overlay.Mode) (carrier, bool) {
	switch mode {
	case overlay.VXLAN:
		return carrier{&netlink.Vxlan{VxlanId: 1, Port: overlay.Port}, overlay.Port}, true
	case overlay.WireGuard:
		return carrier{&netlink.Wireguard{}, overlay.WireGuardPort}, true
	}
	return carrier{}, false
}

const outOfReach = "pods of other nodes will be out of reach: "

// overlay looks at what is to carry the traffic to pods of other nodes. Pods of
// this node run without as well.
func (b Box) overlay(ctx context.Context) Result {
	c, needs := carrierOf(b.Overlay)
	if !needs {
		return ok("%s needs nothing of the kernel", b.Overlay)
	}
	if os.Geteuid() != 0 {
		return warn("not known", "run skiff check as root to find out")
	}
	missing, err := missingLinks(c.link)
	switch {
	case err != nil:
		return warn(err.Error(), "boot a kernel with network namespaces")
	case len(missing) > 0 && b.Overlay == overlay.WireGuard:
		return fail("no wireguard", "load the kernel module (modprobe wireguard), or choose another --overlay")
	case len(missing) > 0:
		return warn("no "+missing[0], outOfReach+"load the kernel module (modprobe "+missing[0]+"), or choose another --overlay on the server")
	}
	if err := listenUDP(ctx, c.port); errors.Is(err, unix.EADDRINUSE) && !b.linkHas(c.port) {
		return warn(fmt.Sprintf("%d/udp is in use%s", c.port, usedBy(udp, c.port)), outOfReach+"stop what listens there (ss -ulnp)")
	}
	return ok("%s, %d/udp", b.Overlay, c.port)
}

func listenUDP(ctx context.Context, port uint16) error {
	l, err := (&net.ListenConfig{}).ListenPacket(ctx, "udp4", fmt.Sprintf(":%d", port))
	if err != nil {
		return err
	}
	return l.Close()
}

// linkHas tells whether a UDP port is in use by this data folder's own link, or by
// another vxlan link, with which the kernel shares it.
func (b Box) linkHas(port uint16) bool {
	links, err := netlink.LinkList()
	if err != nil {
		return false
	}
	for _, l := range links {
		vxlan, is := l.(*netlink.Vxlan)
		if l.Attrs().Name == instance.Of(b.DataDir).Overlay() || is && vxlan.Port == int(port) {
			return true
		}
	}
	return false
}
