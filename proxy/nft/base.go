package nft

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// The chains that are there whatever the services.
const (
	chainClosed    = "closed"
	chainFirewall  = "firewall"
	chainUnclaimed = "closed-or-unclaimed"
	chainReject    = "reject"
	chainDrop      = "drop"
)

// makeSets adds the table's empty maps and sets to the transaction.
func (t *Table) makeSets() error {
	addr, proto, port := t.f.addrType, nftables.TypeInetProto, nftables.TypeInetService
	// A plain integer has no size in concatenations: the nft tool would crash on it.
	index := nftables.TypeMark
	endpoint := nftables.MustConcatSetType(addr, port)
	serviceType := nftables.MustConcatSetType(addr, proto, port)
	nodePortType := nftables.MustConcatSetType(proto, port)
	sets := []struct {
		into **nftables.Set
		set  nftables.Set
	}{
		{&t.services, nftables.Set{Name: "services", IsMap: true, KeyType: serviceType, DataType: nftables.TypeVerdict}},
		{&t.nodePorts, nftables.Set{Name: "nodeports", IsMap: true, KeyType: nodePortType, DataType: nftables.TypeVerdict}},
		{&t.closed, nftables.Set{Name: "closed-services", IsMap: true, KeyType: serviceType, DataType: nftables.TypeVerdict}},
		{&t.closedNodePorts, nftables.Set{Name: "closed-nodeports", IsMap: true, KeyType: nodePortType, DataType: nftables.TypeVerdict}},
		{&t.firewall, nftables.Set{Name: "firewall-services", IsMap: true, KeyType: serviceType, DataType: nftables.TypeVerdict}},
		{&t.endpoints, nftables.Set{Name: "endpoints", IsMap: true, KeyType: nftables.MustConcatSetType(addr, proto, port, index), DataType: endpoint}},
		{&t.affinity, nftables.Set{Name: "affinity", IsMap: true, KeyType: nftables.MustConcatSetType(addr, addr, proto, port), DataType: endpoint, HasTimeout: true, Dynamic: true, Size: affinitySize}},
		{&t.hairpin, nftables.Set{Name: "hairpin", KeyType: nftables.MustConcatSetType(addr, addr)}},
	}
	for _, s := range sets {
		set := s.set
		set.Table, set.Concatenation = t.table, true
		if err := t.conn.AddSet(&set, nil); err != nil {
			return fmt.Errorf("add nftables set %s: %w", set.Name, err)
		}
		*s.into = &set
	}
	return nil
}

func (t *Table) chain(name string, rules ...[]expr.Any) {
	t.hook(&nftables.Chain{Name: name}, rules...)
}

func (t *Table) hook(c *nftables.Chain, rules ...[]expr.Any) {
	c.Table = t.table
	t.conn.AddChain(c)
	for _, r := range rules {
		t.conn.AddRule(&nftables.Rule{Table: t.table, Chain: c, Exprs: r})
	}
}

// makeBase adds the chains that every packet to a service passes.
func (t *Table) makeBase() {
	f := t.f
	t.chain(chainReject, rule(isTCP(), []expr.Any{resetTCP()}), []expr.Any{f.unreachable()})
	t.chain(chainDrop, verdict(expr.VerdictDrop))
	closed := t.frontends(t.closed, t.closedNodePorts)
	t.chain(chainClosed, closed...)
	t.chain(chainUnclaimed, slices.Concat(closed, t.rejectRange())...)
	t.chain(chainFirewall, f.registers().destination().protocolAndPort().verdict(t.firewall))

	// These rules are in each hook instead of a chain, since every new connection
	// would pay for the jump.
	dispatch := t.frontends(t.services, t.nodePorts)
	nat := func(name string, hook *nftables.ChainHook, priority *nftables.ChainPriority, rules ...[]expr.Any) {
		t.hook(&nftables.Chain{Name: name, Type: nftables.ChainTypeNAT, Hooknum: hook, Priority: priority}, rules...)
	}
	nat("nat-prerouting", nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest, dispatch...)
	nat("nat-output", nftables.ChainHookOutput, nftables.ChainPriorityNATDest, dispatch...)
	nat("nat-postrouting", nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource, t.changeSource()...)

	filter := func(name string, hook *nftables.ChainHook, priority *nftables.ChainPriority, rules ...[]expr.Any) {
		t.hook(&nftables.Chain{Name: name, Type: nftables.ChainTypeFilter, Hooknum: hook, Priority: priority}, rules...)
	}
	// Who may come in is decided while the packet still has the address that it was sent to.
	early := nftables.ChainPriorityRef(*nftables.ChainPriorityNATDest - 10)
	firewall := rule(newConnection(), jump(chainFirewall))
	filter("firewall-prerouting", nftables.ChainHookPrerouting, early, firewall)
	filter("firewall-output", nftables.ChainHookOutput, early, firewall)
	unclaimed := rule(newConnection(), jump(chainUnclaimed))
	filter("filter-input", nftables.ChainHookInput, nftables.ChainPriorityFilter, rule(newConnection(), jump(chainClosed)))
	filter("filter-forward", nftables.ChainHookForward, nftables.ChainPriorityFilter, unclaimed)
	filter("filter-output", nftables.ChainHookOutput, nftables.ChainPriorityFilter, unclaimed)
}

// frontends go to the verdict that one of the maps has for the packet's frontend.
func (t *Table) frontends(services, nodePorts *nftables.Set) [][]expr.Any {
	return [][]expr.Any{
		t.f.registers().destination().protocolAndPort().verdict(services),
		rule(t.f.toThisNode(), t.f.registers().protocolAndPort().verdict(nodePorts)),
	}
}

// toPods returns rules that leave the chain for packets to pods.
func (t *Table) toPods() (rules [][]expr.Any) {
	for _, p := range t.cfg.PodCIDRs {
		if t.f.has(p.Addr()) {
			rules = append(rules, rule(t.f.within(t.f.daddr, p, true), verdict(expr.VerdictReturn)))
		}
	}
	return rules
}

// notFromPods matches packets that no pod sent.
func (t *Table) notFromPods() (match []expr.Any) {
	for _, p := range t.cfg.PodCIDRs {
		if t.f.has(p.Addr()) {
			match = append(match, t.f.within(t.f.saddr, p, false)...)
		}
	}
	return match
}

// rejectRange refuses what was sent to the service range and no rule forwarded:
// it must not leave by the box's uplink.
func (t *Table) rejectRange() (rules [][]expr.Any) {
	for _, a := range t.cfg.Local {
		if t.f.has(a) {
			rules = append(rules, rule(t.f.within(t.f.daddr, netip.PrefixFrom(a, a.BitLen()), true), verdict(expr.VerdictReturn)))
		}
	}
	for _, p := range t.cfg.ServiceCIDRs {
		if t.f.has(p.Addr()) {
			rules = append(rules, rule(t.f.within(t.f.daddr, p, true), jump(chainReject)))
		}
	}
	return rules
}

// changeSource masquerades marked packets, pods that reach themselves through a
// service, and pods that leave the cluster.
func (t *Table) changeSource() [][]expr.Any {
	f := t.f
	hairpin := f.registers().source().destination()
	rules := [][]expr.Any{
		rule(isMarked(), setMark(false), []expr.Any{masquerade()}),
		rule(forwarded(), hairpin.exprs, []expr.Any{
			&expr.Lookup{SourceRegister: firstRegister, SetName: t.hairpin.Name, SetID: t.hairpin.ID}, masquerade(),
		}),
	}
	rules = append(rules, t.toPods()...)
	if f == ipv4 {
		rules = append(rules, rule(f.within(f.daddr, netip.MustParsePrefix("224.0.0.0/4"), true), verdict(expr.VerdictReturn)))
	}
	for _, p := range t.cfg.PodCIDRs {
		if f.has(p.Addr()) {
			rules = append(rules, rule(f.within(f.saddr, p, true), []expr.Any{masquerade()}))
		}
	}
	return rules
}

// guardName names the chain that lets in a set of sources, by which it is shared.
func guardName(sources []netip.Prefix) string {
	h := fnv.New64a()
	for _, p := range sources {
		fmt.Fprintln(h, p)
	}
	return fmt.Sprintf("from-%x", h.Sum64())
}

// makeGuard adds the chain that drops packets from elsewhere, if it is not there.
func (t *Table) makeGuard(sources []netip.Prefix) string {
	name := guardName(sources)
	if t.guards[name] != nil {
		return name
	}
	t.guards[name] = sources
	var rules [][]expr.Any
	for _, p := range sources {
		if t.f.has(p.Addr()) {
			rules = append(rules, rule(t.f.within(t.f.saddr, p, true), verdict(expr.VerdictReturn)))
		}
	}
	t.chain(name, append(rules, verdict(expr.VerdictDrop))...)
	return name
}
