package proxy

import (
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"skiff/proxy/conntrack"
	"skiff/proxy/nft"
	"skiff/proxy/service"
)

// kernel is the real Dataplane: a table per address family, and the memory of
// connections.
type kernel struct {
	tables []*nft.Table
	v6     []bool // the tables' families

	connections     *conntrack.Cleaner
	cleanDuration   *prometheus.HistogramVec
	removedEntries  *prometheus.CounterVec
	cannotClean     error
	saidCannotClean bool
}

func newKernel(cfg Config) (*kernel, error) {
	k := &kernel{
		cleanDuration:  newHistogram("conntrack_reconciler_sync_duration_seconds", "Time to look for entries of UDP services in the kernel's table of connections that became wrong.", syncBuckets()),
		removedEntries: newCounter("conntrack_reconciler_deleted_entries_total", "Entries of UDP services removed from the kernel's table of connections, because they became wrong."),
	}
	dns := cfg.ClusterDNS
	if cfg.DisableDNS {
		dns = nil
	}
	for _, v6 := range []bool{false, true} {
		if !hasFamily(cfg.ServiceCIDRs, v6) {
			continue
		}
		table, err := nft.New(nft.Config{PodCIDRs: cfg.PodCIDRs, ServiceCIDRs: cfg.ServiceCIDRs, Local: dns}, v6)
		if err != nil {
			k.close()
			return nil, fmt.Errorf("services need nftables: %w", err)
		}
		k.tables, k.v6 = append(k.tables, table), append(k.v6, v6)
	}
	k.connections, k.cannotClean = conntrack.New(conntrack.Config{ServiceCIDRs: cfg.ServiceCIDRs, Local: dns})
	return k, nil
}

func hasFamily(prefixes []netip.Prefix, v6 bool) bool {
	for _, p := range prefixes {
		if p.Addr().Is6() == v6 {
			return true
		}
	}
	return false
}

// families are the names of those that there are tables for, as metrics and
// kube-proxy's health write them.
func (k *kernel) families() (names []string) {
	for _, v6 := range k.v6 {
		names = append(names, familyName(v6))
	}
	return names
}

// close closes the connections to the kernel.
func (k *kernel) close() {
	for _, t := range k.tables {
		_ = t.Close()
	}
	if k.connections != nil {
		k.connections.Close()
	}
}

func (k *kernel) collectors() []prometheus.Collector {
	return []prometheus.Collector{k.cleanDuration, k.removedEntries}
}

func (k *kernel) Reset(all service.Rules) error {
	for _, t := range k.tables {
		if err := t.Reset(all); err != nil {
			return err
		}
	}
	k.clean(func() (conntrack.Removed, error) { return k.connections.All(all) })
	return nil
}

func (k *kernel) Apply(changes []service.Change) error {
	for _, t := range k.tables {
		if err := t.Apply(changes); err != nil {
			return err
		}
	}
	k.clean(func() (conntrack.Removed, error) { return k.connections.Changed(changes) })
	return nil
}

// clean removes entries from the table of connections. That it fails is noticed
// only by clients that never stop sending, which is not worth a reset.
func (k *kernel) clean(remove func() (conntrack.Removed, error)) {
	begin, err := time.Now(), k.cannotClean
	if err == nil {
		var removed conntrack.Removed
		removed, err = remove()
		for i, v6 := range k.v6 {
			if n, looked := removed[v6]; looked {
				family := k.families()[i]
				k.cleanDuration.WithLabelValues(family).Observe(time.Since(begin).Seconds())
				k.removedEntries.WithLabelValues(family).Add(float64(n))
			}
		}
	}
	if err != nil && !k.saidCannotClean {
		slog.Warn("clients of UDP services may keep sending to endpoints that are gone", "err", err)
	}
	k.saidCannotClean = err != nil
}
