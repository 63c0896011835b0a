package ipam

import "net/netip"

// search is for a free address of a range.
type search struct {
	Range
	taken map[netip.Addr]Owner
	// notes are of who had which address last, the newest first.
	notes []note
	// pod is for whom it is, "" for nobody known.
	pod string
}

// choose returns the address that the pod had last; else the next one after start
// that is nobody's, also not by a note: whoever had one may come back for it, as all
// of a node's pods do after a reboot; else that of the oldest note. turned tells that
// it is the next one in turn.
func (s search) choose(start netip.Addr) (a netip.Addr, turned, ok bool) {
	first, last := bounds(s.Subnet)
	free := func(a netip.Addr) bool {
		_, taken := s.taken[a]
		return !taken && a != s.Gateway && !a.Less(first) && !last.Less(a)
	}
	noted := map[netip.Addr]bool{}
	var oldest netip.Addr
	for _, n := range s.notes {
		if !free(n.addr) {
			continue
		}
		if n.pod == s.pod {
			return n.addr, false, true
		}
		noted[n.addr], oldest = true, n.addr
	}
	if !start.IsValid() || start.Less(first) || last.Less(start) {
		start = last // so that the search begins at the first
	}
	for a := next(start, first, last); ; a = next(a, first, last) {
		if free(a) && !noted[a] {
			return a, true, true
		}
		if a == start {
			return oldest, false, oldest.IsValid()
		}
	}
}
