package overlay

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"syscall"
	"unsafe"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"skiff/hostnet"
)

// event tells that something in the kernel changed that may matter.
type event struct {
	// link is set for one about a link of the box, neighbour is the index of the
	// link that one went from. Every other event matters.
	link      *Uplink
	gone      bool
	neighbour int
}

// concerns tells whether the tables must be read again. Links of pods come and go
// all the time; they have no addresses on this side.
func (e event) concerns(u Underlay) bool {
	if e.neighbour != 0 {
		return e.neighbour == u.Overlay
	}
	if e.link == nil {
		return true
	}
	known, ok := u.byIndex(e.link.Index)
	return ok && (e.gone || known.MTU != e.link.MTU || known.Up != e.link.Up)
}

// watchKernel tells of changed links and addresses, and of removed routes,
// neighbours and forwarding entries of the overlay, until ctx ends.
func watchKernel(ctx context.Context, link string) (<-chan event, error) {
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
		unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_NEIGH)
	if err == nil {
		err = ignore(socket, unix.RTM_NEWNEIGH)
	}
	if err != nil {
		return nil, fmt.Errorf("watch links, addresses, routes and neighbours: %w", err)
	}
	context.AfterFunc(ctx, socket.Close)
	events := make(chan event)
	go func() {
		for ctx.Err() == nil {
			for _, e := range receive(socket, link) {
				select {
				case events <- e:
				case <-ctx.Done():
				}
			}
		}
	}()
	return events, nil
}

// ignore has the kernel drop messages of a type: whenever anything on the box asks
// for a neighbour's address, it would wake this process.
func ignore(socket *nl.NetlinkSocket, messageType uint16) error {
	// The filter reads numbers in the network's order, messages are in this machine's.
	asRead := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, messageType))
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: uint32(unsafe.Offsetof(unix.NlMsghdr{}.Type))},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(asRead), Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: math.MaxUint32},
	}
	program := &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	return unix.SetsockoptSockFprog(socket.GetFd(), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, program)
}

// receive waits for messages. If some were lost, which a burst of changes does,
// anything may have happened.
func receive(socket *nl.NetlinkSocket, link string) (events []event) {
	messages, from, err := socket.Receive()
	if err != nil {
		return []event{{}}
	}
	if from.Pid != nl.PidKernel {
		return nil
	}
	for _, m := range messages {
		if e, ok := eventOf(m, link); ok {
			events = append(events, e)
		}
	}
	return events
}

func eventOf(m syscall.NetlinkMessage, link string) (event, bool) {
	switch m.Header.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		header := unix.NlMsghdr(m.Header)
		l, err := netlink.LinkDeserialize(&header, m.Data)
		if err != nil || l.Attrs().Name == link {
			return event{}, true
		}
		a := l.Attrs()
		return event{
			link: &Uplink{Index: a.Index, Name: a.Name, MTU: a.MTU, Up: a.Flags&net.FlagUp != 0},
			gone: m.Header.Type == unix.RTM_DELLINK,
		}, true
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		// Each link has a link-local address of IPv6: those of pods, too.
		return event{}, len(m.Data) < unix.SizeofIfAddrmsg || m.Data[3] != unix.RT_SCOPE_LINK
	case unix.RTM_DELROUTE:
		return event{}, len(m.Data) >= unix.SizeofRtMsg && m.Data[5] == byte(hostnet.OverlayRoutes)
	case unix.RTM_DELNEIGH:
		n, err := netlink.NeighDeserialize(m.Data)
		if err != nil {
			return event{}, true
		}
		return event{neighbour: n.LinkIndex}, true
	}
	return event{}, false
}
