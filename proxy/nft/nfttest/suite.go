package nfttest

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"skiff/proxy/service"
)

// Dataplane is what the suite tests.
type Dataplane interface {
	Reset(service.Rules) error
	Apply([]service.Change) error
	// Dump returns what is in force, as Lines does.
	Dump() ([]string, error)
}

// Run changes rules at random, from a fixed seed, and checks after each
// transaction that exactly the wanted ones are in force.
func Run(t *testing.T, d Dataplane) {
	random := rand.New(rand.NewPCG(7, 7))
	rules := service.Rules{}
	check := func(step int, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
		got, err := d.Dump()
		if err != nil {
			t.Fatal(err)
		}
		if want := Lines(rules); !slices.Equal(got, want) {
			t.Fatalf("step %d: in force are\n%v\nwant\n%v", step, got, want)
		}
	}
	check(-1, d.Reset(rules))
	for step := range 200 {
		next := service.Rules{}
		for f, b := range rules {
			if random.IntN(4) > 0 {
				next[f] = b
			}
		}
		for range random.IntN(6) {
			next[randomFrontend(random)] = randomBackend(random)
		}
		changes := service.Diff(rules, next)
		rules = next
		if step%50 == 49 {
			check(step, d.Reset(rules))
		} else {
			check(step, d.Apply(changes))
		}
	}
}

func randomFrontend(random *rand.Rand) service.Frontend {
	f := service.Frontend{
		Addr:     netip.AddrFrom4([4]byte{10, 43, 0, byte(random.IntN(6))}),
		Protocol: []service.Protocol{service.TCP, service.UDP, service.SCTP}[random.IntN(3)],
		Port:     uint16(80 + random.IntN(3)),
	}
	if random.IntN(3) == 0 {
		f.Addr = netip.IPv4Unspecified()
	}
	return f
}

func randomBackend(random *rand.Rand) *service.Backend {
	b := &service.Backend{Action: service.Action(random.IntN(3)), Masquerade: service.Masquerade(random.IntN(3))}
	if random.IntN(4) == 0 {
		b.Sources = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, 100, 0}), 24+random.IntN(2))}
	}
	if b.Action == service.Forward {
		b.Endpoints = randomEndpoints(random)
	}
	if b.Masquerade == service.MasqueradeNever && b.Action != service.Reject {
		b.Inside = randomEndpoints(random)
	}
	for _, ep := range b.ForInside() {
		if random.IntN(2) == 0 {
			b.Own = append(b.Own, ep.Addr())
		}
	}
	if random.IntN(3) == 0 {
		b.Affinity = time.Hour
	}
	return b
}

func randomEndpoints(random *rand.Rand) (list []netip.AddrPort) {
	for i := range 1 + random.IntN(5) {
		addr := netip.AddrFrom4([4]byte{10, 42, byte(random.IntN(2)), byte(i)})
		list = append(list, netip.AddrPortFrom(addr, 8080))
	}
	return list
}
