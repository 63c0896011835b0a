package clusterinfo

import (
	"maps"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"skiff/server/pki"
)

func example(t *testing.T) Info {
	t.Helper()
	p, err := pki.Open(pki.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return Info{
		ClusterCIDRs:  []netip.Prefix{netip.MustParsePrefix("10.42.0.0/16"), netip.MustParsePrefix("fd00:42::/56")},
		ServiceCIDRs:  []netip.Prefix{netip.MustParsePrefix("10.43.0.0/16")},
		ClusterDNS:    []netip.Addr{netip.MustParseAddr("10.43.0.10")},
		ClusterDomain: "cluster.local", Overlay: "vxlan", NodeLease: 4 * time.Second,
		Servers:  []string{"https://192.0.2.1:6443", "https://[2001:db8::1]:6443"},
		ClientCA: p.Client.PEM,
	}
}

func TestRoundTrip(t *testing.T) {
	want := example(t)
	got, err := FromConfigMap(want.ConfigMap())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) || !got.Equal(want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	got.Servers = got.Servers[:1]
	if got.Equal(want) {
		t.Error("a server less is no difference")
	}
	// A cluster whose DNS is another program, without an overlay.
	want.ClusterDNS, want.Overlay, want.NodeLease = nil, "", 0
	if got, err = FromConfigMap(want.ConfigMap()); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestWrong(t *testing.T) {
	good := example(t).ConfigMap()
	for _, c := range []struct{ key, value, want string }{
		{"cluster-cidr", "10.42.0.0", `cluster-cidr: netip.ParsePrefix("10.42.0.0"): no '/'`},
		{"cluster-dns", "10.43.0.10,x", `cluster-dns: ParseAddr("x"): unable to parse IP`},
		{"cluster-domain", "", "cluster-domain: is missing"},
		{"servers", "", "servers: is missing"},
		{"servers", "http://192.0.2.1:6443", `servers: "http://192.0.2.1:6443" is not an address like https://HOST:6443`},
		{"servers", "https://box", "missing port in address"},
		{"client-ca", "", "client-ca: is missing"},
		{"client-ca", "nothing", "client-ca: holds no certificate"},
	} {
		cm := good.DeepCopy()
		cm.Data = maps.Clone(good.Data)
		cm.Data[c.key] = c.value
		if _, err := FromConfigMap(cm); err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "config map kube-system/skiff-cluster: ") {
			t.Errorf("%s=%q: %v, want %s", c.key, c.value, err, c.want)
		}
	}
}
