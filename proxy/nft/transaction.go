package nft

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"skiff/proxy/service"
)

// transaction collects the elements that changes remove and add, so that each
// set gets few large messages.
type transaction struct {
	*Table
	removed, added map[*nftables.Set][]nftables.SetElement
}

func (tx *transaction) remove(set *nftables.Set, key []byte) {
	if tx.removed == nil {
		tx.removed = map[*nftables.Set][]nftables.SetElement{}
	}
	tx.removed[set] = append(tx.removed[set], nftables.SetElement{Key: key})
}

func (tx *transaction) add(set *nftables.Set, e nftables.SetElement) {
	if tx.added == nil {
		tx.added = map[*nftables.Set][]nftables.SetElement{}
	}
	tx.added[set] = append(tx.added[set], e)
}

func (tx *transaction) change(c service.Change) {
	tx.move(c.Frontend, tx.placeOf(c.Frontend, c.Old), tx.placeOf(c.Frontend, c.New))
	tx.move(c.Frontend, tx.guardOf(c.Frontend, c.Old), tx.guardOf(c.Frontend, c.New))
	tx.changeEndpoints(c)
	tx.changeOwn(c)
}

// place is the verdict map, and the chain, that a backend makes of a frontend.
type place struct {
	set   *nftables.Set
	chain string
}

func (tx *transaction) placeOf(f service.Frontend, b *service.Backend) place {
	if b == nil {
		return place{}
	}
	open, closed := tx.services, tx.closed
	if f.IsNodePort() {
		open, closed = tx.nodePorts, tx.closedNodePorts
	}
	switch b.Action {
	case service.Reject:
		return place{closed, chainReject}
	case service.Drop:
		return place{closed, chainDrop}
	default:
		return place{open, tx.makeWay(wayOf(f, b))}
	}
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

// changeEndpoints replaces the endpoints that are another at their index.
func (tx *transaction) changeEndpoints(c service.Change) {
	was, is := endpointsOf(c.Old), endpointsOf(c.New)
	for i := range max(len(was), len(is)) {
		if i < len(was) && i < len(is) && was[i] == is[i] {
			continue
		}
		key := endpointKey(c.Frontend, i)
		if i < len(was) {
			tx.remove(tx.endpoints, key)
		}
		if i < len(is) {
			tx.add(tx.endpoints, nftables.SetElement{Key: key, Val: endpointValue(is[i])})
		}
	}
}

func endpointsOf(b *service.Backend) []netip.AddrPort {
	if b == nil {
		return nil
	}
	return b.Endpoints
}

func (tx *transaction) changeOwn(c service.Change) {
	if c.New != nil {
		for _, a := range c.New.Own {
			if tx.own[a]++; tx.own[a] == 1 {
				tx.add(tx.hairpin, nftables.SetElement{Key: concat(a.AsSlice(), a.AsSlice())})
			}
		}
	}
	if c.Old != nil {
		for _, a := range c.Old.Own {
			if tx.own[a]--; tx.own[a] == 0 {
				delete(tx.own, a)
				tx.remove(tx.hairpin, concat(a.AsSlice(), a.AsSlice()))
			}
		}
	}
}

// chunk is the most elements of one message: an attribute holds 64 KiB.
const chunk = 400

// elements queues what was collected: first what goes, then what comes.
func (tx *transaction) elements() error {
	for set, list := range tx.removed {
		for part := range slices.Chunk(list, chunk) {
			if err := tx.conn.SetDeleteElements(set, part); err != nil {
				return fmt.Errorf("remove from nftables set %s: %w", set.Name, err)
			}
		}
	}
	for set, list := range tx.added {
		for part := range slices.Chunk(list, chunk) {
			if err := tx.conn.SetAddElements(set, part); err != nil {
				return fmt.Errorf("add to nftables set %s: %w", set.Name, err)
			}
		}
	}
	return nil
}
