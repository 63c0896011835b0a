package nft

import (
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"skiff/proxy/service"
)

// transaction collects the elements that changes remove and add, so that each
// set gets few large messages.
type transaction struct {
	*Table
	removed, added map[*nftables.Set]messages
}

// messages are the elements of one set, in parts that a message holds.
type messages [][]nftables.SetElement

// chunk is the most elements of one message: an attribute holds 64 KiB.
const chunk = 400

func (m messages) add(e nftables.SetElement) messages {
	last := len(m) - 1
	switch {
	case last < 0:
		return messages{{e}}
	case len(m[last]) == chunk:
		return append(m, append(make([]nftables.SetElement, 0, chunk), e))
	default:
		m[last] = append(m[last], e)
		return m
	}
}

func (tx *transaction) remove(set *nftables.Set, key []byte) {
	if tx.removed == nil {
		tx.removed = map[*nftables.Set]messages{}
	}
	tx.removed[set] = tx.removed[set].add(nftables.SetElement{Key: key})
}

func (tx *transaction) add(set *nftables.Set, e nftables.SetElement) {
	if tx.added == nil {
		tx.added = map[*nftables.Set]messages{}
	}
	tx.added[set] = tx.added[set].add(e)
}

func (tx *transaction) change(c service.Change) {
	tx.move(c.Frontend, tx.openOf(c.Frontend, c.Old), tx.openOf(c.Frontend, c.New))
	tx.move(c.Frontend, tx.closedOf(c.Frontend, c.Old), tx.closedOf(c.Frontend, c.New))
	tx.move(c.Frontend, tx.guardOf(c.Frontend, c.Old), tx.guardOf(c.Frontend, c.New))
	old, now := c.Old, c.New
	if old == nil {
		old = &service.Backend{}
	}
	if now == nil {
		now = &service.Backend{}
	}
	tx.changeEndpoints(c.Frontend, 0, old.Endpoints, now.Endpoints)
	tx.changeEndpoints(c.Frontend, secondIndex, old.Inside, now.Inside)
	tx.changeOwn(old.Own, now.Own)
}

// place is a verdict map, and the chain that it leads a frontend to.
type place struct {
	set   *nftables.Set
	chain string
}

// openOf is where a frontend's packets are forwarded, the zero place if none is.
func (tx *transaction) openOf(f service.Frontend, b *service.Backend) place {
	if b == nil || b.Action != service.Forward && len(b.Inside) == 0 {
		return place{}
	}
	set := tx.services
	if f.IsNodePort() {
		set = tx.nodePorts
	}
	return place{set, tx.makeWay(wayOf(f, b))}
}

// closedOf is where packets are refused that were not forwarded.
func (tx *transaction) closedOf(f service.Frontend, b *service.Backend) place {
	if b == nil || b.Action == service.Forward {
		return place{}
	}
	set := tx.closed
	if f.IsNodePort() {
		set = tx.closedNodePorts
	}
	if b.Action == service.Reject {
		return place{set, chainReject}
	}
	return place{set, chainDrop}
}

// guardOf is where a frontend's sources are checked, the zero place if all may
// come, as they always may to a node port.
func (tx *transaction) guardOf(f service.Frontend, b *service.Backend) place {
	if b == nil || len(b.Sources) == 0 || f.IsNodePort() {
		return place{}
	}
	return place{tx.firewall, tx.makeGuard(b.Sources)}
}

// move takes a frontend out of one verdict map and puts it into another.
func (tx *transaction) move(f service.Frontend, was, is place) {
	if was == is {
		return
	}
	key := serviceKey(f)
	if f.IsNodePort() {
		key = nodePortKey(f)
	}
	if was.set != nil {
		tx.remove(was.set, key)
	}
	if is.set != nil {
		tx.add(is.set, nftables.SetElement{Key: key, VerdictData: &expr.Verdict{Kind: expr.VerdictGoto, Chain: is.chain}})
	}
}

// changeEndpoints replaces the endpoints that are another at their index, which
// begins at first.
func (tx *transaction) changeEndpoints(f service.Frontend, first int, was, is []netip.AddrPort) {
	for i := range max(len(was), len(is)) {
		if i < len(was) && i < len(is) && was[i] == is[i] {
			continue
		}
		key := endpointKey(f, first+i)
		if i < len(was) {
			tx.remove(tx.endpoints, key)
		}
		if i < len(is) {
			tx.add(tx.endpoints, nftables.SetElement{Key: key, Val: endpointValue(is[i])})
		}
	}
}

// changeOwn counts which addresses of this node are reached through services.
func (tx *transaction) changeOwn(old, now []netip.Addr) {
	for _, a := range now {
		if tx.own[a]++; tx.own[a] == 1 {
			tx.add(tx.hairpin, nftables.SetElement{Key: hairpinKey(a)})
		}
	}
	for _, a := range old {
		if tx.own[a]--; tx.own[a] == 0 {
			delete(tx.own, a)
			tx.remove(tx.hairpin, hairpinKey(a))
		}
	}
}

// elements queues what was collected: first what goes, then what comes.
func (tx *transaction) elements() error {
	for set, parts := range tx.removed {
		if err := tx.deleteElements(set, parts); err != nil {
			return err
		}
	}
	for set, parts := range tx.added {
		for _, part := range parts {
			if err := tx.conn.SetAddElements(set, part); err != nil {
				return fmt.Errorf("add to nftables set %s: %w", set.Name, err)
			}
		}
	}
	return nil
}

// deleteElements queues the removal of elements.
func (t *Table) deleteElements(set *nftables.Set, parts messages) error {
	for _, part := range parts {
		if err := t.conn.SetDeleteElements(set, part); err != nil {
			return fmt.Errorf("remove from nftables set %s: %w", set.Name, err)
		}
	}
	return nil
}
