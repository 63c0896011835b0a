package check

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"skiff/datadir"
)

// ports tries to listen where skiff would.
func (b Box) ports(ctx context.Context) Result {
	var free []string
	for _, p := range b.Ports {
		if err := listen(ctx, p.At); err != nil {
			return b.portInUse(p, err)
		}
		free = append(free, strconv.Itoa(int(p.At.Port())))
	}
	if b.DNS {
		// An address that nobody uses can be bound unless somebody has all.
		if err := listen(ctx, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 77}), 53)); err != nil {
			return warn("53 is in use on all addresses"+usedBy(tcp, 53), "pods cannot resolve names: let that DNS server listen on its own addresses only (dnsmasq: bind-interfaces), or run the server with --disable dns")
		}
		free = append(free, "53")
	}
	return ok("%s are free", strings.Join(free, ", "))
}

func listen(ctx context.Context, at netip.AddrPort) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", at.String())
	if err != nil {
		return err
	}
	return l.Close()
}

func (b Box) portInUse(p Port, err error) Result {
	port := p.At.Port()
	if owner, ownerErr := datadir.OwnerOf(b.DataDir); ownerErr == nil && owner != nil {
		return ok("%d is used by the skiff of this data folder, %s", port, owner)
	}
	if by := usedBy(tcp, port); by != "" {
		return fail(fmt.Sprintf("%d is in use%s", port, by), "stop that, or "+p.Or)
	}
	return fail(fmt.Sprintf("%d: %v", port, err), "stop what listens there (ss -tlnp), or "+p.Or)
}

// protocol is one that has ports.
type protocol struct {
	name string
	// listening is the state of a socket that others can send to, as the kernel
	// numbers them.
	listening string
}

var (
	tcp = protocol{"tcp", "0A"}
	udp = protocol{"udp", "07"}
)

// usedBy names the process that listens on a port, " by nginx (process 12)"; "" if
// it cannot be seen.
func usedBy(p protocol, port uint16) string {
	sockets := p.listeners(port)
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*") // cannot fail
	for _, link := range links {
		target, err := os.Readlink(link)
		if err != nil || !sockets[target] {
			continue
		}
		pid := strings.Split(link, "/")[2]
		name, err := os.ReadFile("/proc/" + pid + "/comm")
		if err != nil {
			continue
		}
		return fmt.Sprintf(" by %s (process %s)", strings.TrimSpace(string(name)), pid)
	}
	return ""
}

// listeners are the sockets that listen on a port, as /proc/PID/fd names
// them. The fields of the kernel's list are: number, local address, remote
// address, state, five more, inode. It is this thread's list: a check before may
// have moved the process's first thread to another network.
func (p protocol) listeners(port uint16) map[string]bool {
	sockets := map[string]bool{}
	for _, version := range []string{"", "6"} {
		f, err := os.Open("/proc/thread-self/net/" + p.name + version)
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			fields := strings.Fields(lines.Text())
			if len(fields) > 9 && fields[3] == p.listening && strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", port)) {
				sockets["socket:["+fields[9]+"]"] = true
			}
		}
		f.Close()
	}
	return sockets
}
