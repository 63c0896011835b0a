package nft

import (
	"fmt"
	"net/netip"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"skiff/proxy/service"
)

// BenchmarkConnect is the time in which a pod opens a TCP connection over a link
// to an endpoint: to its own address, and through a service among many. Only the
// first packet of a connection meets the rules.
func BenchmarkConnect(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		for _, way := range []struct{ name, to string }{{"direct", "10.42.0.5:8080"}, {"service", "10.43.200.1:80"}} {
			b.Run(fmt.Sprintf("%s/%d", way.name, n), func(b *testing.B) {
				inNamespace(b)
				pod := neighbour(b, "pod", "10.42.9.2/24", "10.42.9.1/24")
				answering(b, "10.42.0.5:8080")
				rules := manyServices(n)
				rules[frontend("10.43.200.1:80", service.TCP)] = backend("10.42.0.5:8080")
				newTable(b, rules)
				pod(func() {
					for b.Loop() {
						if err := open(netip.MustParseAddrPort(way.to)); err != nil {
							b.Error(err)
							return
						}
					}
				})
			})
		}
	}
}

// open connects on this very thread, and closes without leaving anything that
// would have to time out.
func open(to netip.AddrPort) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	return os.NewSyscallError("connect", unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}))
}
