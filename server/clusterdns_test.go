package server

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
)

func TestClusterDNSFollowsTheServiceRange(t *testing.T) {
	for _, tc := range []struct {
		name         string
		cidrs, named []string
		want         []string
		err          string
	}{
		{name: "default range", cidrs: []string{"10.43.0.0/16"}, want: []string{"10.43.0.10"}},
		{name: "another range", cidrs: []string{"172.20.8.0/24"}, want: []string{"172.20.8.10"}},
		{name: "a range that is not written from its first address", cidrs: []string{"172.20.8.77/24"}, want: []string{"172.20.8.10"}},
		{name: "IPv6", cidrs: []string{"fd00:43::/112"}, want: []string{"fd00:43::a"}},
		{name: "the first of two ranges", cidrs: []string{"fd00:43::/112", "10.43.0.0/16"}, want: []string{"fd00:43::a"}},
		{name: "just large enough", cidrs: []string{"10.0.0.0/28"}, want: []string{"10.0.0.10"}},
		{name: "too small", cidrs: []string{"10.0.0.0/29"}, err: "cluster-dns: 10.0.0.0/29 has no tenth address to be the DNS's, name another one of it"},
		{name: "too small, but named", cidrs: []string{"10.0.0.0/29"}, named: []string{"10.0.0.3"}, want: []string{"10.0.0.3"}},
		{name: "named", cidrs: []string{"10.43.0.0/16"}, named: []string{"10.43.0.53"}, want: []string{"10.43.0.53"}},
		{name: "one of each family", cidrs: []string{"10.43.0.0/16", "fd00:43::/112"}, named: []string{"10.43.0.53", "fd00:43::53"}, want: []string{"10.43.0.53", "fd00:43::53"}},
		{name: "elsewhere", cidrs: []string{"10.43.0.0/16"}, named: []string{"10.99.0.10"}, err: "cluster-dns: 10.99.0.10 is not in the service range 10.43.0.0/16"},
		{name: "the API server's", cidrs: []string{"10.43.0.0/16"}, named: []string{"10.43.0.1"}, err: "cluster-dns: 10.43.0.1 is the API server's service address, choose another one of 10.43.0.0/16"},
		{name: "the range's own", cidrs: []string{"10.43.0.0/16"}, named: []string{"10.43.0.0"}, err: "cluster-dns: 10.43.0.0 is the address of the range 10.43.0.0/16 itself, choose another one of it"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var c Config
			for _, s := range tc.cidrs {
				c.ServiceCIDRs = append(c.ServiceCIDRs, netip.MustParsePrefix(s))
			}
			for _, s := range tc.named {
				c.ClusterDNS = append(c.ClusterDNS, netip.MustParseAddr(s))
			}
			err := errors.Join(c.completeClusterDNS()...)
			if tc.err != "" {
				if err == nil || err.Error() != tc.err {
					t.Errorf("error %v, want %s", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, a := range c.ClusterDNS {
				got = append(got, a.String())
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}
