package hostport

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
)

// bufferSize of the netlink socket: the default is too small for larger batches.
const bufferSize = 4 << 20

// Mapping forwards one port.
type Mapping struct {
	// Protocol is tcp, udp or sctp.
	Protocol string
	// HostIP limits the mapping to one address of the node; invalid means all.
	HostIP   netip.Addr
	HostPort uint16
	// Pod is where it leads to.
	Pod     netip.Addr
	PodPort uint16
}

// Key identifies an attachment in the rules.
func Key(containerID, ifName string) string { return containerID + "/" + ifName }

// Ports is a handle for the table; opening it touches nothing.
type Ports struct {
	name   string
	bridge string
}

// New returns a handle for the table of the given name, whose pods are behind bridge.
func New(table, bridge string) *Ports { return &Ports{name: table, bridge: bridge} }

func connect() (*nftables.Conn, error) {
	conn, err := nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(c *netlink.Conn) error {
		// Without privilege to go beyond the system's limit, its limit will do.
		return errors.Join(ignorePermission(c.SetReadBuffer(bufferSize)), ignorePermission(c.SetWriteBuffer(bufferSize)))
	}))
	if err != nil {
		return nil, fmt.Errorf("connect to nftables: %w", err)
	}
	return conn, nil
}

func ignorePermission(err error) error {
	if errors.Is(err, os.ErrPermission) {
		return nil
	}
	return err
}

// Add forwards the ports for an attachment, replacing what it had.
func (p *Ports) Add(key string, mappings []Mapping) error {
	if len(mappings) == 0 {
		return nil
	}
	conn, err := connect()
	if err != nil {
		return err
	}
	defer conn.CloseLasting()
	if err := p.ensureTable(conn); err != nil {
		return fmt.Errorf("create table %s: %w", p.name, err)
	}
	if err := p.deleteRules(conn, func(k string) bool { return k == key }); err != nil {
		return err
	}
	for _, m := range mappings {
		rules, err := p.mappingRules(m)
		if err != nil {
			return err
		}
		for _, r := range rules {
			r.UserData = []byte(key)
			conn.AddRule(r)
		}
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("forward host ports: %w", err)
	}
	return p.allowLoopback(mappings)
}

// Delete takes away what an attachment had; it is no error to have nothing.
func (p *Ports) Delete(key string) error {
	return p.deleteWhere(func(k string) bool { return k == key })
}

// Keep takes away what all attachments had but the given ones.
func (p *Ports) Keep(keys []string) error {
	return p.deleteWhere(func(k string) bool { return !slices.Contains(keys, k) })
}

func (p *Ports) deleteWhere(which func(string) bool) error {
	conn, err := connect()
	if err != nil {
		return err
	}
	defer conn.CloseLasting()
	if err := p.deleteRules(conn, which); err != nil {
		return err
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("remove host ports: %w", err)
	}
	return nil
}

// deleteRules queues the removal of the rules whose key is chosen.
func (p *Ports) deleteRules(conn *nftables.Conn, which func(string) bool) error {
	table := p.table()
	for _, chain := range []string{chainForward, chainPostrouting} {
		rules, err := conn.GetRules(table, &nftables.Chain{Name: chain, Table: table})
		if errors.Is(err, syscall.ENOENT) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("list host ports: %w", err)
		}
		for _, r := range rules {
			if len(r.UserData) == 0 || bytes.Equal(r.UserData, fixedRule) || !which(string(r.UserData)) {
				continue
			}
			if err := conn.DelRule(r); err != nil {
				return fmt.Errorf("remove host port: %w", err)
			}
		}
	}
	return nil
}

// Remove deletes the table.
func (p *Ports) Remove() error {
	conn, err := connect()
	if err != nil {
		return err
	}
	defer conn.CloseLasting()
	conn.DelTable(p.table())
	if err := conn.Flush(); err != nil && !errors.Is(err, syscall.ENOENT) {
		return fmt.Errorf("delete table %s: %w", p.name, err)
	}
	return nil
}

// allowLoopback lets the node reach a host port through 127.0.0.1: packets with
// a loopback source are otherwise not routed to a bridge. The guard chain keeps
// pods from using the same way in.
func (p *Ports) allowLoopback(mappings []Mapping) error {
	if !slices.ContainsFunc(mappings, func(m Mapping) bool { return m.Pod.Is4() }) {
		return nil
	}
	path := filepath.Join("/proc/sys/net/ipv4/conf", p.bridge, "route_localnet")
	if old, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(old)) == "1" {
		return nil
	}
	if err := os.WriteFile(path, []byte("1"), 0o644); err != nil {
		return fmt.Errorf("allow loopback traffic to %s: %w", p.bridge, err)
	}
	return nil
}
