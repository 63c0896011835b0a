package nft

import (
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

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
// for concurrent use; Close it after them.
type Table struct {
	cfg   Config
	f     *family
	table *nftables.Table
	conn  *nftables.Conn
	// broken says that the connection must be replaced.
	broken bool

	services, nodePorts, closed, closedNodePorts, firewall, endpoints, affinity, hairpin *nftables.Set

	// ways are the chains that exist, guards those that keep others than their
	// sources out.
	ways   map[way]bool
	guards map[string][]netip.Prefix
	// own counts the backends that have an address of this node.
	own map[netip.Addr]int
}

// New returns the table for a family, of which nothing is in the kernel before
// Reset. It returns an error if the kernel has no nftables.
func New(cfg Config, v6 bool) (*Table, error) {
	f := ipv4
	if v6 {
		f = ipv6
	}
	conn, err := dial(nftables.AsLasting())
	if err != nil {
		return nil, err
	}
	return &Table{cfg: cfg, f: f, conn: conn, table: &nftables.Table{Family: f.table, Name: TableName}}, nil
}

// Reset replaces whatever is in the table by rules, in one transaction.
func (t *Table) Reset(rules service.Rules) error {
	if t.broken {
		if err := t.reconnect(); err != nil {
			return err
		}
	}
	t.ways, t.guards, t.own = map[way]bool{}, map[string][]netip.Prefix{}, map[netip.Addr]int{}
	// Adding first makes deleting succeed whether the table is there or not.
	t.conn.AddTable(t.table)
	t.conn.DelTable(t.table)
	t.conn.AddTable(t.table)
	if err := t.makeSets(); err != nil {
		t.broken = true
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
		t.broken = true
		return err
	}
	if err := t.commit(); err != nil {
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
	if w.inside > 0 {
		rules = t.shortCircuit(t.makeWay(w.forInside()))
	}
	switch w.masquerade {
	case service.MasqueradeOutside:
		rules = append(rules, rule(t.notFromPods(), setMark(true)))
	case service.MasqueradeAlways:
		rules = append(rules, setMark(true))
	}
	switch {
	case w.endpoints == 0: // refused in the filter chains
	case w.affinity > 0:
		rules = append(rules, t.known(w), t.remembered(w))
	default:
		r := t.frontend(t.f.registers(), w).random(w.endpoints, w.firstIndex())
		rules = append(rules, r.forward(r.lookup(t.endpoints, firstRegister)))
	}
	t.chain(name, rules...)
	return name
}

// shortCircuit sends the packets of pods and of this node itself to a chain of
// their own. This node's source is changed, since it may be the very address that
// the packet was sent to.
func (t *Table) shortCircuit(chain string) (rules [][]expr.Any) {
	for _, p := range t.cfg.PodCIDRs {
		if t.f.has(p.Addr()) {
			rules = append(rules, rule(t.f.within(t.f.saddr, p, true), goTo(chain)))
		}
	}
	return append(rules, rule(fromThisNode(), setMark(true), goTo(chain)))
}

// frontend loads the key of the frontend that the packet was sent to.
func (t *Table) frontend(r *registers, w way) *registers {
	if w.nodePort {
		return r.unspecified().protocolAndPort()
	}
	return r.destination().protocolAndPort()
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
