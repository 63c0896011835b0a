package bench

import (
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"skiff/test/bench/traffic"
	"skiff/test/e2e/host"
)

// BenchmarkProxies compares an agent's service proxy with kube-proxy in nftables
// mode, on hosts of their own beside one server, and prints a table per number of
// services. Each host has a client and endpoints behind links of its own. `make
// bench-proxy` runs it.
//
// While one is measured the other one does not run. Direct connections and ones
// through services take turns, so that whatever else the machine does meets both.
func BenchmarkProxies(b *testing.B) {
	if _, err := os.Stat(kubeProxy); err != nil {
		b.Skipf("there is no kube-proxy to compare with, run `make bench-proxy`: %v", err)
	}
	if err := host.Usable(); err != nil {
		b.Skip(err)
	}
	for b.Loop() {
		c := newContest(b)
		for _, n := range []int{10, 1000, 10000} {
			c.services.grow(b, n)
			var all []*figures
			for _, r := range c.rivals {
				all = append(all, c.measure(r))
			}
			printTable(os.Stdout, n, all)
		}
	}
	b.ReportMetric(0, "ns/op")
}

// contest are two programs that carry out the same services.
type contest struct {
	b        *testing.B
	services *services
	rivals   []*rival
}

func newContest(b *testing.B) *contest {
	b.Helper()
	network := host.NewNetwork(b)
	server := host.New(b, host.Config{Network: network, NodeName: "server"})
	server.Start("--disable-agent")
	s := newServices(b, server)
	return &contest{b: b, services: s, rivals: []*rival{
		newSkiff(b, server, host.New(b, host.Config{Network: network, NodeName: "skiff"})),
		newKubeProxy(b, server, host.New(b, host.Config{Network: network, NodeName: "kube-proxy"}), s.client),
	}}
}

// How much of what is measured.
const (
	starts  = 3
	probes  = 32 // services that must answer until all are taken to do
	changes = 20
	rounds  = 10 // of connections, each of which gives a ratio
	turns   = 400
	streams = 8
	sent    = 256 << 20 // by each stream
)

// measure measures one of the rivals by the services that there are.
func (c *contest) measure(r *rival) *figures {
	f := &figures{name: r.name}
	for range starts {
		c.start(r, f)
		r.stop()
	}
	r.start()
	r.awaitReady()
	c.awaitAll(r)
	time.Sleep(r.calm)
	for i := range changes {
		c.change(i, r, f)
	}
	for range rounds {
		c.connect(r, f)
	}
	for i := range streams {
		c.send(i, r, f)
	}
	f.resident, f.anonymous = memory(c.b, r.pid())
	r.stop()
	return f
}

// start is from the start of the program, on a host without rules, until services
// lead to their endpoints.
func (c *contest) start(r *rival, f *figures) {
	r.forget(c.b)
	begin := time.Now()
	r.start()
	c.awaitAll(r)
	f.programmed = append(f.programmed, time.Since(begin))
	r.awaitReady()
	time.Sleep(r.calm)
	f.programmedCPU = append(f.programmedCPU, processorTimeOfAll(c.b, r.pid()))
}

func (c *contest) awaitAll(r *rival) {
	c.b.Helper()
	for _, i := range c.services.spread(probes) {
		c.await(r, i)
	}
}

// await returns when a service leads to one of its endpoints.
func (c *contest) await(r *rival, service int) {
	c.b.Helper()
	at, want := c.services.address(service), c.services.endpoints[service]
	deadline := time.Now().Add(patience)
	err := r.path.Do(func(client traffic.Client) error {
		for {
			got, err := client.Ask(at)
			if err == nil && (got == want[0] || got == want[1]) {
				return nil
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("after %s, %s leads to %s and not to %s: %w", patience, at, got, want, err)
			}
			time.Sleep(200 * time.Microsecond)
		}
	})
	if err != nil {
		c.b.Fatalf("%s: %v", r.name, err)
	}
}

// change is from the end of a request that replaces a service's endpoints until a
// connection reaches one of the new ones.
func (c *contest) change(i int, r *rival, f *figures) {
	some := c.services.spread(changes)
	service := some[i%len(some)]
	cpu := processorTimeOfAll(c.b, r.pid())
	c.services.replaceEndpoints(c.b, service)
	begin := time.Now()
	c.await(r, service)
	f.change = append(f.change, time.Since(begin))
	time.Sleep(r.calm)
	f.changeCPU = append(f.changeCPU, processorTimeOfAll(c.b, r.pid())-cpu)
}

// connect opens connections directly and through services, and takes the median
// of each.
func (c *contest) connect(r *rival, f *figures) {
	var first pair
	some := c.services.spread(turns)
	c.do(r, func(client traffic.Client) error {
		for i := range turns {
			if err := first.add(c.services, some[i%len(some)], client.Connect); err != nil {
				return err
			}
		}
		return nil
	})
	f.first.direct = append(f.first.direct, first.direct.percentile(50))
	f.first.service = append(f.first.service, first.service.percentile(50))
}

// send streams, once directly and once through a service.
func (c *contest) send(i int, r *rival, f *figures) {
	some := c.services.spread(streams)
	c.do(r, func(client traffic.Client) error {
		return f.stream.add(c.services, some[i%len(some)], func(to netip.AddrPort) (time.Duration, error) { return client.Send(to, sent) })
	})
}

func (c *contest) do(r *rival, f func(traffic.Client) error) {
	c.b.Helper()
	if err := r.path.Do(f); err != nil {
		c.b.Fatalf("%s: %v", r.name, err)
	}
}

// pair is what the same thing takes directly, and through a service.
type pair struct{ direct, service sample }

// add times something once each way. Which way comes first changes.
func (p *pair) add(s *services, service int, do func(netip.AddrPort) (time.Duration, error)) error {
	turn := len(p.direct)
	ways := []struct {
		times *sample
		to    netip.AddrPort
	}{{&p.direct, direct(s.endpoints[service][turn/2%2])}, {&p.service, s.address(service)}}
	for i := range ways {
		way := ways[(i+turn)%2]
		took, err := do(way.to)
		if err != nil {
			return err
		}
		*way.times = append(*way.times, took)
	}
	return nil
}
