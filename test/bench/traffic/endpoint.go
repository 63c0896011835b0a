package traffic

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// What a client's first byte asks of an endpoint.
const (
	tellAddress = 'A' // the endpoint sends its address and hangs up
	takeAll     = 'T' // it reads to the end and hangs up
)

// answer makes all addresses of Endpoints this box's, and serves them.
func (p *Path) answer() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return err
	}
	all := &netlink.Route{Dst: ipNet(Endpoints), LinkIndex: lo.Attrs().Index, Type: unix.RTN_LOCAL, Scope: unix.RT_SCOPE_HOST, Table: unix.RT_TABLE_LOCAL}
	if err := netlink.RouteAdd(all); err != nil {
		return fmt.Errorf("make %s this box's: %w", Endpoints, err)
	}
	// A connection without data wakes nobody here: what a client then measures is
	// the way of its packets alone.
	deferred := func(_, _ string, c syscall.RawConn) (err error) {
		if other := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 30) }); other != nil {
			return other
		}
		return err
	}
	p.listener, err = (&net.ListenConfig{Control: deferred}).Listen(context.Background(), "tcp4", fmt.Sprintf(":%d", Port))
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := p.listener.Accept()
			if err != nil {
				return // closed
			}
			go serve(c.(*net.TCPConn))
		}
	}()
	return nil
}

func serve(c *net.TCPConn) {
	defer c.Close()
	what := make([]byte, 1)
	if _, err := io.ReadFull(c, what); err != nil {
		return
	}
	switch what[0] {
	case tellAddress:
		addr := c.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Unmap().As4()
		_, _ = c.Write(addr[:])
	case takeAll:
		discard(c)
	}
}

// chunk is how much is sent or received at once.
const chunk = 256 << 10

// discard reads to the end, in large parts.
func discard(c *net.TCPConn) {
	buffer := make([]byte, chunk)
	for {
		if _, err := c.Read(buffer); err != nil {
			return
		}
	}
}

func addrOf(b [4]byte) netip.Addr { return netip.AddrFrom4(b) }
