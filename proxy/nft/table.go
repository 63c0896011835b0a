package nft

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"

	"skiff/proxy/service"
)

// TableName is the name of Skiff's tables.
const TableName = "skiff"

// Config is what a Table needs to know of the cluster.
type Config struct {
	// PodCIDRs are the ranges of all pods of the cluster.
	PodCIDRs []netip.Prefix
	// ServiceCIDRs are the ranges of cluster addresses.
	ServiceCIDRs []netip.Prefix
	// Local are addresses in the service ranges that this node answers itself.
	Local []netip.Addr
}

// Table is one address family's table in the kernel. Its methods are not safe
// for concurrent use.
type Table struct {
	cfg   Config
	f     *family
	conn  *nftables.Conn
	table *nftables.Table

	services, nodePorts, closed, closedNodePorts, firewall, endpoints, affinity, hairpin *nftables.Set

	// ways are the chains that exist, guards those that keep others than their
	// sources out.
	ways   map[way]bool
	guards map[string][]netip.Prefix
	// own counts the backends that have an address of this node.
	own map[netip.Addr]int
}

// bufferSize is that of the netlink socket: a transaction is one message, and
// with 10,000 services it has some MiB.
const bufferSize = 32 << 20

// New returns the table for a family, of which nothing is in the kernel before
// Reset. It returns an error if the kernel has no nftables.
func New(cfg Config, v6 bool) (*Table, error) {
	f := ipv4
	if v6 {
		f = ipv6
	}
	conn, err := dial()
	if err != nil {
		return nil, err
	}
	return &Table{cfg: cfg, f: f, conn: conn, table: &nftables.Table{Family: f.table, Name: TableName}}, nil
}

func dial() (*nftables.Conn, error) {
	conn, err := nftables.New(nftables.WithSockOptions(func(c *netlink.Conn) error {
		return errors.Join(c.SetReadBuffer(bufferSize), c.SetWriteBuffer(bufferSize))
	}))
	if err != nil {
		return nil, fmt.Errorf("open nftables: %w", err)
	}
	return conn, nil
}

// Reset replaces whatever is in the table by rules, in one transaction.
func (t *Table) Reset(rules service.Rules) error {
	t.ways, t.guards, t.own = map[way]bool{}, map[string][]netip.Prefix{}, map[netip.Addr]int{}
	// Adding first makes deleting succeed whether the table is there or not.
	t.conn.AddTable(t.table)
	t.conn.DelTable(t.table)
	t.conn.AddTable(t.table)
	if err := t.makeSets(); err != nil {
		return err
	}
	t.makeBase()
	return t.Apply(service.Diff(nil, rules))
}

// Apply carries out changes of this table's family in one transaction; it leaves
// out those of the other family.
func (t *Table) Apply(changes []service.Change) error {
	tx := transaction{Table: t}
	for _, c := range changes {
		if t.f.has(c.Frontend.Addr) {
			tx.change(c)
		}
	}
	if err := tx.elements(); err != nil {
		return err
	}
	if err := t.conn.Flush(); err != nil {
		return fmt.Errorf("commit nftables transaction of %d changes: %w", len(changes), err)
	}
	return t.forget(changes)
}

// makeWay adds the chain for a way of handling packets, if it is not there.
func (t *Table) makeWay(w way) string {
	name := w.chainName()
	if t.ways[w] {
		return name
	}
	t.ways[w] = true
	var rules [][]expr.Any
	switch w.masquerade {
	case service.MasqueradeOutside:
		rules = append(rules, jump(chainMarkOutside))
	case service.MasqueradeAlways:
		rules = append(rules, jump(chainMark))
	}
	if w.affinity > 0 {
		rules = append(rules, t.known(w), t.remembered(w))
	} else {
		r := t.frontend(t.f.registers(), w).random(w.endpoints)
		rules = append(rules, r.forward(r.lookup(t.endpoints, firstRegister)))
	}
	t.chain(name, rules...)
	return name
}

// frontend loads the key of the frontend that the packet was sent to.
func (t *Table) frontend(r *registers, w way) *registers {
	if w.nodePort {
		return r.unspecified().protocolAndPort()
	}
	return r.destination().protocolAndPort()
}

// known forwards a client to the endpoint that it had.
func (t *Table) known(w way) []expr.Any {
	r := t.frontend(t.f.registers().source(), w)
	value := r.lookup(t.affinity, firstRegister)
	return r.remember(t.affinity, firstRegister, value, time.Duration(w.affinity)*time.Second).forward(value)
}

// remembered draws an endpoint for a client and remembers it. The endpoint's key
// is the client's without its address, with the index behind it.
func (t *Table) remembered(w way) []expr.Any {
	r := t.f.registers().source()
	endpointKey := r.next
	r = t.frontend(r, w).random(w.endpoints)
	value := r.lookup(t.endpoints, endpointKey)
	return r.remember(t.affinity, firstRegister, value, time.Duration(w.affinity)*time.Second).forward(value)
}

// forget removes the memory of clients whose endpoint is gone.
func (t *Table) forget(changes []service.Change) error {
	gone := map[service.Frontend]map[netip.AddrPort]bool{}
	for _, c := range changes {
		if c.Old == nil || c.Old.Affinity == 0 || !t.f.has(c.Frontend.Addr) {
			continue
		}
		lost := map[netip.AddrPort]bool{}
		for _, ep := range c.Old.Endpoints {
			lost[ep] = true
		}
		if c.New != nil && c.New.Affinity > 0 {
			for _, ep := range c.New.Endpoints {
				delete(lost, ep)
			}
		}
		if len(lost) > 0 {
			gone[c.Frontend] = lost
		}
	}
	if len(gone) == 0 {
		return nil
	}
	return t.forgetEndpoints(gone)
}

func (t *Table) forgetEndpoints(gone map[service.Frontend]map[netip.AddrPort]bool) error {
	elements, err := t.conn.GetSetElements(t.affinity)
	if err != nil {
		return fmt.Errorf("list remembered clients: %w", err)
	}
	byKey := map[string]map[netip.AddrPort]bool{}
	for f, eps := range gone {
		byKey[string(serviceKey(f))] = eps
	}
	var dead []nftables.SetElement
	for _, e := range elements {
		ep, ok := parseEndpointValue(t.f, e.Val)
		if ok && byKey[string(e.Key[t.f.addrLen:])][ep] {
			dead = append(dead, nftables.SetElement{Key: e.Key})
		}
	}
	if len(dead) == 0 {
		return nil
	}
	if err := t.conn.SetDeleteElements(t.affinity, dead); err != nil {
		return fmt.Errorf("forget clients: %w", err)
	}
	// One that timed out meanwhile makes the kernel refuse all.
	if err := t.conn.Flush(); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("forget clients: %w", err)
	}
	return nil
}

// Delete removes Skiff's tables of both families, if they are there.
func Delete() error {
	conn, err := dial()
	if err != nil {
		return err
	}
	for _, f := range []*family{ipv4, ipv6} {
		table := &nftables.Table{Family: f.table, Name: TableName}
		conn.AddTable(table)
		conn.DelTable(table)
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("delete nftables table %s: %w", TableName, err)
	}
	return nil
}
