package server

import (
	"net/netip"
	"testing"
	"time"

	"skiff/metric/metrictest"
	"skiff/proxy"
)

// silent is an Observer that nobody looks at.
type silent struct{}

func (silent) Step(string, time.Duration) {}
func (silent) Ready(Summary)              {}
func (silent) Stopping()                  {}

// TestDocumentedMetrics: docs/metrics.md lists what a server registers.
func TestDocumentedMetrics(t *testing.T) {
	cfg := Config{
		DataDir: t.TempDir(), NodeName: "box", HTTPSPort: 6443,
		NodeIPs:      []netip.Addr{netip.MustParseAddr("192.0.2.1")},
		ClusterCIDRs: []netip.Prefix{netip.MustParsePrefix("10.42.0.0/16")}, ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.43.0.0/16")},
		ClusterDomain: "cluster.local", DisableAgent: true,
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	dir, err := cfg.openDataDir()
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	base, err := openState(cfg, dir, silent{})
	if err != nil {
		t.Fatal(err)
	}
	defer base.close()
	addrs, err := cfg.findAddresses()
	if err != nil {
		t.Fatal(err)
	}
	cp, err := newControlPlane(cfg, addrs, base)
	if err != nil {
		t.Fatal(err)
	}
	defer cp.events.Close()
	// The part of the node that needs no container runtime to be made.
	services, err := proxy.New(cfg.nodeConfig(cfg.NodeIPs).Proxy, cp.informers)
	if err != nil {
		t.Skip(err)
	}
	for _, c := range services.Collectors() {
		cp.api.Metrics().MustRegister(c)
	}
	metrictest.Page{
		Path: "../docs/metrics.md", All: []string{"The server", "The server and each node"},
	}.Check(t, cp.api.Metrics())
}
