package nft

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"skiff/proxy/service"
)

// affinitySize bounds the clients that are remembered; more are spread anew.
const affinitySize = 1 << 16

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
	r = t.frontend(r, w).random(w.endpoints, w.firstIndex())
	value := r.lookup(t.endpoints, endpointKey)
	return r.remember(t.affinity, firstRegister, value, time.Duration(w.affinity)*time.Second).forward(value)
}

// forget removes the memory of clients whose endpoint is gone.
func (t *Table) forget(changes []service.Change) error {
	byKey := map[string]map[netip.AddrPort]bool{}
	for _, c := range changes {
		if c.Old == nil || c.Old.Affinity == 0 || !t.f.has(c.Frontend.Addr) {
			continue
		}
		if lost := lostEndpoints(c.Old, c.New); len(lost) > 0 {
			byKey[string(serviceKey(c.Frontend))] = lost
		}
	}
	if len(byKey) == 0 {
		return nil
	}
	// An element that times out meanwhile makes the kernel refuse all: what is
	// left by then is listed again.
	for range 5 {
		err := t.forgetEndpoints(byKey)
		if !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// lostEndpoints are those that a client may remember, and may use no longer. A
// client from outside and one from inside never share a memory, but which of them
// it is cannot be told from it: an endpoint that one of them loses is lost.
func lostEndpoints(old, now *service.Backend) map[netip.AddrPort]bool {
	lost := map[netip.AddrPort]bool{}
	if now == nil || now.Affinity == 0 {
		now = &service.Backend{}
	}
	addLost(lost, old.Endpoints, now.Endpoints)
	addLost(lost, old.ForInside(), now.ForInside())
	return lost
}

func addLost(lost map[netip.AddrPort]bool, old, now []netip.AddrPort) {
	left := make(map[netip.AddrPort]bool, len(now))
	for _, ep := range now {
		left[ep] = true
	}
	for _, ep := range old {
		if !left[ep] {
			lost[ep] = true
		}
	}
}

func (t *Table) forgetEndpoints(byKey map[string]map[netip.AddrPort]bool) error {
	elements, err := t.conn.GetSetElements(t.affinity)
	if err != nil {
		return fmt.Errorf("list remembered clients: %w", err)
	}
	var dead messages
	for _, e := range elements {
		ep, ok := parseEndpointValue(t.f, e.Val)
		if ok && byKey[string(e.Key[t.f.addrLen:])][ep] {
			dead = dead.add(nftables.SetElement{Key: e.Key})
		}
	}
	if err := t.deleteElements(t.affinity, dead); err != nil {
		return err
	}
	if err := t.commit(); err != nil {
		return fmt.Errorf("forget clients of endpoints that are gone: %w", err)
	}
	return nil
}
