package traffic

import (
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// patience bounds a connection that is expected to be made, hurry one that may
// not be yet.
const (
	patience = 2 * time.Second
	hurry    = 20 * time.Millisecond
)

// Client acts for the client; it is only valid in the function that it is given
// to.
type Client struct{}

// Do runs f on the client's thread, which spares what f does in a row the way
// from one thread to another.
func (p *Path) Do(f func(Client) error) error {
	return p.client.do(func() error { return f(Client{}) })
}

// Connect opens a connection and breaks it off. It returns the time from the first
// packet to its answer.
func (Client) Connect(to netip.AddrPort) (time.Duration, error) {
	s, took, err := open(to, patience)
	if err != nil {
		return 0, err
	}
	return took, s.close()
}

// Ask returns the endpoint that is reached at an address. Where none is reached
// at once it returns an error.
func (Client) Ask(to netip.AddrPort) (netip.Addr, error) {
	s, _, err := open(to, hurry)
	if err != nil {
		return netip.Addr{}, err
	}
	defer s.close()
	var addr [4]byte
	if _, err := unix.Write(int(s), []byte{tellAddress}); err != nil {
		return netip.Addr{}, os.NewSyscallError("write", err)
	}
	if n, err := unix.Read(int(s), addr[:]); err != nil || n != len(addr) {
		return netip.Addr{}, fmt.Errorf("read %d bytes of an endpoint's address: %w", n, err)
	}
	return addrOf(addr), nil
}

// Send sends so many bytes, and returns how long it took until all had arrived.
func (Client) Send(to netip.AddrPort, bytes int) (time.Duration, error) {
	s, _, err := open(to, patience)
	if err != nil {
		return 0, err
	}
	defer s.close()
	buffer := make([]byte, chunk)
	buffer[0] = takeAll
	begin := time.Now()
	for sent := 0; sent < bytes; {
		n, err := unix.Write(int(s), buffer[:min(chunk, bytes-sent)])
		if err != nil {
			return 0, os.NewSyscallError("write", err)
		}
		sent += n
	}
	if err := unix.Shutdown(int(s), unix.SHUT_WR); err != nil {
		return 0, os.NewSyscallError("shutdown", err)
	}
	if _, err := unix.Read(int(s), buffer); err != nil { // the endpoint hangs up
		return 0, os.NewSyscallError("read", err)
	}
	return time.Since(begin), nil
}

// socket is one that blocks its thread, since the network namespace is the
// thread's.
type socket int

// open connects, and returns the time that this took.
func open(to netip.AddrPort, patience time.Duration) (socket, time.Duration, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, 0, os.NewSyscallError("socket", err)
	}
	s := socket(fd)
	timeout := unix.NsecToTimeval(patience.Nanoseconds())
	for _, option := range []func() error{
		// Closed by a reset, it leaves nothing that would have to time out.
		func() error {
			return unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		},
		func() error { return unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &timeout) },
		func() error { return unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout) },
	} {
		if err := option(); err != nil {
			_ = s.close()
			return 0, 0, os.NewSyscallError("setsockopt", err)
		}
	}
	address := &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
	begin := time.Now()
	if err := unix.Connect(fd, address); err != nil {
		_ = s.close()
		return 0, 0, fmt.Errorf("connect to %s: %w", to, err)
	}
	return s, time.Since(begin), nil
}

func (s socket) close() error { return os.NewSyscallError("close", unix.Close(int(s))) }
