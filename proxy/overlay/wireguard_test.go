package overlay

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
	"k8s.io/client-go/informers"
	fakeclient "k8s.io/client-go/kubernetes/fake"
)

// fakeDevice keeps the semantics of the kernel's side of wireguard.
type fakeDevice struct{ state wgtypes.Device }

// Device implements device.
func (f *fakeDevice) Device(string) (*wgtypes.Device, error) { return &f.state, nil }

// Close implements device.
func (f *fakeDevice) Close() error { return nil }

// ConfigureDevice implements device.
func (f *fakeDevice) ConfigureDevice(_ string, cfg wgtypes.Config) error {
	if cfg.PrivateKey != nil {
		f.state.PrivateKey, f.state.PublicKey = *cfg.PrivateKey, cfg.PrivateKey.PublicKey()
	}
	if cfg.ListenPort != nil {
		f.state.ListenPort = *cfg.ListenPort
	}
	for _, p := range cfg.Peers {
		i := slices.IndexFunc(f.state.Peers, func(o wgtypes.Peer) bool { return o.PublicKey == p.PublicKey })
		switch {
		case p.Remove && i >= 0:
			f.state.Peers = slices.Delete(f.state.Peers, i, i+1)
			continue
		case i < 0 && p.UpdateOnly:
			continue
		case i < 0:
			f.state.Peers = append(f.state.Peers, wgtypes.Peer{PublicKey: p.PublicKey})
			i = len(f.state.Peers) - 1
		}
		f.state.Peers[i].Endpoint, f.state.Peers[i].PersistentKeepaliveInterval = p.Endpoint, *p.PersistentKeepaliveInterval
		if p.ReplaceAllowedIPs {
			f.state.Peers[i].AllowedIPs = nil
		}
		f.state.Peers[i].AllowedIPs = append(f.state.Peers[i].AllowedIPs, p.AllowedIPs...)
	}
	return nil
}

func newKey(t *testing.T) wgtypes.Key {
	t.Helper()
	key, err := wgtypes.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestPeers: what is written to a device is read from it.
func TestPeers(t *testing.T) {
	d := &fakeDevice{}
	private, other := newKey(t), newKey(t).PublicKey().String()
	tables := &tables{link: testLink, wg: d, private: private}
	read := func() []string {
		t.Helper()
		s := NewState(Link{Name: testLink, Type: "wireguard", MTU: 1440, Up: true})
		if err := tables.readDevice(s); err != nil {
			t.Fatal(err)
		}
		return s.Lines()
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(tables.setKey())
	peer := Peer{PublicKey: other, Endpoint: netip.MustParseAddrPort("192.0.2.2:51820"), Allowed: "10.42.1.0/24,fd00:42:1::/64"}
	must(tables.Add(peer))
	link := "link skiff-overlay wireguard port 51820 address " + private.PublicKey().String() + " mtu 1440 up"
	if got, want := read(), []string{link, peer.String()}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if d.state.Peers[0].PersistentKeepaliveInterval != keepalive {
		t.Errorf("kept alive each %s", d.state.Peers[0].PersistentKeepaliveInterval)
	}
	peer.Endpoint, peer.Allowed = netip.MustParseAddrPort("192.0.2.9:51820"), "10.42.9.0/24"
	must(tables.Change(peer))
	if got, want := read(), []string{link, peer.String()}; !slices.Equal(got, want) {
		t.Errorf("after a change: %q, want %q", got, want)
	}
	d.state.Peers[0].LastHandshakeTime, d.state.Peers[0].Endpoint = time.Now(), &net.UDPAddr{IP: net.IPv4(203, 0, 113, 9), Port: 7}
	s := NewState()
	must(tables.readDevice(s))
	if p, ok := s[peer.Key()].(Peer); !ok || !p.Alive || p.Endpoint != netip.MustParseAddrPort("203.0.113.9:7") {
		t.Errorf("a peer that was heard of elsewhere: %+v", p)
	}
	must(tables.Remove(peer))
	if got := read(); !slices.Equal(got, []string{link}) {
		t.Errorf("after removal: %q", got)
	}
	if err := tables.Add(Peer{PublicKey: "no key", Allowed: "10.42.1.0/24"}); err == nil || !strings.Contains(err.Error(), KeyAnnotation) {
		t.Errorf("a node with a wrong annotation: %v", err)
	}
}

// TestPrivateKey: it is made once, for nobody else to read.
func TestPrivateKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent", "wireguard.key") // a server has no such folder
	first, err := privateKey(path)
	if err != nil {
		t.Fatal(err)
	}
	second, err := privateKey(path)
	if err != nil || first != second {
		t.Errorf("the second time another key, %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := privateKey(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a spoilt file: %v", err)
	}
}

// TestPublish: the key is published when the node's object has another one.
func TestPublish(t *testing.T) {
	var published []string
	broken := errors.New("no server")
	o, err := New(Config{NodeName: "a", Mode: WireGuard, Link: testLink, PublishKey: func(_ context.Context, key string) error {
		published = append(published, key)
		return broken
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	o.kernel, o.publicKey = newFake(Underlay{}), "KEY-A"
	n := node{"a", "192.0.2.1", "10.42.0.0/24"}.overlayNode()
	o.learn(n)
	if err := o.sync(t.Context()); !errors.Is(err, broken) {
		t.Errorf("no server: %v", err)
	}
	n.PublicKey = "KEY-A"
	o.learn(n)
	if err := o.sync(t.Context()); err != nil || len(published) != 1 {
		t.Errorf("published %q, %v", published, err)
	}
}

// TestWithoutWireguard: a kernel that has none is told of at the start.
func TestWithoutWireguard(t *testing.T) {
	b := newRealBox(t)
	if err := b.probeWireguard(); err == nil {
		t.Skip("this kernel has wireguard")
	}
	factory := informers.NewSharedInformerFactory(fakeclient.NewClientset(), 0)
	o, err := New(Config{NodeName: "a", Mode: WireGuard, Link: testLink, KeyFile: filepath.Join(t.TempDir(), "key")}, factory.Core().V1().Nodes().Informer())
	if err != nil {
		t.Fatal(err)
	}
	err = o.Run(t.Context(), func() { t.Error("ready") })
	if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "modprobe wireguard") || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v", err)
	}
}
