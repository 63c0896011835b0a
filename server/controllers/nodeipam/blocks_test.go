package nodeipam

import (
	"net/netip"
	"testing"
)

// TestFree: blocks of other sizes, and those of no interest, are reckoned with.
func TestFree(t *testing.T) {
	for name, c := range map[string]struct {
		cluster string
		bits    int
		taken   []string
		want    string // "" for none
	}{
		"empty":                 {"10.42.0.0/22", 24, nil, "10.42.0.0/24"},
		"the first gap":         {"10.42.0.0/22", 24, []string{"10.42.0.0/24", "10.42.2.0/24"}, "10.42.1.0/24"},
		"full":                  {"10.42.0.0/23", 24, []string{"10.42.0.0/24", "10.42.1.0/24"}, ""},
		"smaller ones":          {"10.42.0.0/22", 24, []string{"10.42.0.128/25", "10.42.1.7/32"}, "10.42.2.0/24"},
		"a larger one":          {"10.42.0.0/22", 24, []string{"10.42.0.0/23"}, "10.42.2.0/24"},
		"a larger one's middle": {"10.42.0.0/22", 24, []string{"10.42.1.0/23"}, "10.42.2.0/24"},
		"larger than all":       {"10.42.4.0/22", 24, []string{"10.0.0.0/8"}, ""},
		"elsewhere":             {"10.42.0.0/22", 24, []string{"10.43.0.0/16", "fd42::/16"}, "10.42.0.0/24"},
		"not at a byte's end":   {"10.64.0.0/12", 26, []string{"10.64.0.0/26", "10.64.0.64/26"}, "10.64.0.128/26"},
		"IPv6":                  {"fd42::/56", 64, []string{"fd42::/64", "fd42:0:0:1::/64", "10.42.0.0/24"}, "fd42:0:0:2::/64"},
	} {
		t.Run(name, func(t *testing.T) {
			var taken []netip.Prefix
			for _, p := range c.taken {
				taken = append(taken, netip.MustParsePrefix(p))
			}
			got, ok := blocks{netip.MustParsePrefix(c.cluster), c.bits}.free(taken)
			if ok != (c.want != "") || ok && got.String() != c.want {
				t.Errorf("got %s, %v, want %s", got, ok, c.want)
			}
		})
	}
}

// BenchmarkFree is the last block of a large cluster.
func BenchmarkFree(b *testing.B) {
	all := blocks{netip.MustParsePrefix("10.64.0.0/12"), 24}
	var taken []netip.Prefix
	for i := range 1<<12 - 1 {
		taken = append(taken, all.nth(i))
	}
	for b.Loop() {
		if _, ok := all.free(taken); !ok {
			b.Fatal("the last block is not free")
		}
	}
}
