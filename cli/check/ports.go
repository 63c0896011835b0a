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

	"skiff/agent"
	"skiff/datadir"
)

// ports tries to listen where a server would.
func (b Box) ports(ctx context.Context) Result {
	wanted := []netip.AddrPort{netip.AddrPortFrom(b.BindAddress, uint16(b.HTTPSPort))}
	if b.Node {
		wanted = append(wanted, netip.AddrPortFrom(netip.IPv4Unspecified(), agent.DefaultPort))
	}
	var free []string
	for _, at := range wanted {
		if err := listen(ctx, at); err != nil {
			return b.portInUse(at, err)
		}
		free = append(free, strconv.Itoa(int(at.Port())))
	}
	if b.DNS {
		// An address that nobody uses can be bound unless somebody has all.
		if err := listen(ctx, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 77}), 53)); err != nil {
			return warn("53 is in use on all addresses"+usedBy(53), "pods cannot resolve names: let that DNS server listen on its own addresses only (dnsmasq: bind-interfaces), or --disable dns")
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

func (b Box) portInUse(at netip.AddrPort, err error) Result {
	if owner, ownerErr := datadir.OwnerOf(b.DataDir); ownerErr == nil && owner != nil {
		return ok("%d is used by the skiff of this data folder, %s", at.Port(), owner)
	}
	flag := "choose another --https-port"
	if at.Port() == agent.DefaultPort && b.HTTPSPort != agent.DefaultPort {
		flag = "run without a node (--disable-agent)"
	}
	if by := usedBy(int(at.Port())); by != "" {
		return fail(fmt.Sprintf("%d is in use%s", at.Port(), by), "stop that, or "+flag)
	}
	return fail(fmt.Sprintf("%d: %v", at.Port(), err), "stop what listens there (ss -tlnp), or "+flag)
}

// usedBy names the process that listens on a TCP port, " by nginx (process 12)";
// "" if it cannot be seen.
func usedBy(port int) string {
	sockets := listeners(port)
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

// listeners are the sockets that listen on a TCP port, as /proc/PID/fd names
// them. The fields of the kernel's list are: number, local address, remote
// address, state, five more, inode. It is this thread's list: a check before may
// have moved the process's first thread to another network.
func listeners(port int) map[string]bool {
	const listening = "0A"
	sockets := map[string]bool{}
	for _, path := range []string{"/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"} {
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			fields := strings.Fields(lines.Text())
			if len(fields) > 9 && fields[3] == listening && strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", port)) {
				sockets["socket:["+fields[9]+"]"] = true
			}
		}
		f.Close()
	}
	return sockets
}
