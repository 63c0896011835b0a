package wire

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// unsent bounds what waits in the kernel to be sent. What a fat stream queues there
// is ahead of everything that others send later; without a bound that may be
// megabytes, which on a slow line are many seconds.
const unsent = 64 << 10

// limitUnsent sets the bound for a TCP connection. Without it all works, only less
// fair, so that failing is no error.
func limitUnsent(conn net.Conn) {
	tcp, ok := Below(conn).(syscall.Conn)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent)
	})
}
