package overlay

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"skiff/atomicfile"
)

const (
	// WireGuardPort is the UDP port of wireguard, its usual one.
	WireGuardPort = 51820
	// keepalive keeps the way back through a NAT router open; their memories last
	// for 30 s and more.
	keepalive = 25 * time.Second
	// alive is how long after its last handshake a peer's endpoint is known to be
	// right: handshakes are at most two minutes apart.
	alive = 3 * time.Minute
)

var wireguardFixed = fmt.Sprintf("port %d", WireGuardPort)

// Peer is another node on a wireguard link.
type Peer struct {
	PublicKey string
	// Endpoint is where it is reached. The kernel changes it to where the peer's
	// packets come from.
	Endpoint netip.AddrPort
	// Allowed are its blocks.
	Allowed string
	// Alive tells that it was heard of lately; see keepRoamed.
	Alive bool
}

// Key implements Item.
func (p Peer) Key() Key { return Key{Kind: KindPeer, Peer: p.PublicKey} }

// String implements fmt.Stringer.
func (p Peer) String() string {
	return fmt.Sprintf("peer %s at %s for %s", p.PublicKey, p.Endpoint, p.Allowed)
}

// keepRoamed leaves a peer where it was heard of, for as long as its node
// publishes no other address than before: that of a node behind NAT is not where
// it can be reached.
func (o *Overlay) keepRoamed(want State) {
	published := map[Key]netip.AddrPort{}
	for key, i := range want {
		p, ok := i.(Peer)
		if !ok {
			continue
		}
		published[key] = p.Endpoint
		last, known := o.published[key]
		if have, ok := o.have[key].(Peer); ok && have.Alive && (!known || last == p.Endpoint) {
			p.Endpoint, p.Alive = have.Endpoint, true
			want[key] = p
		}
	}
	o.published = published
}

// publish makes this node's public key known.
func (o *Overlay) publish(ctx context.Context, self Node) error {
	if o.cfg.PublishKey == nil || self.PublicKey == o.publicKey {
		return nil
	}
	if err := o.cfg.PublishKey(ctx, o.publicKey); err != nil {
		return fmt.Errorf("publish this node's key for wireguard: %w", err)
	}
	return nil
}

// device configures wireguard links.
type device interface {
	Device(name string) (*wgtypes.Device, error)
	ConfigureDevice(name string, cfg wgtypes.Config) error
	Close() error
}

// openWireguard makes the tables able to handle wireguard links, if the kernel is.
func (o *Overlay) openWireguard() error {
	t, ok := o.kernel.(*tables)
	if !ok {
		return ErrUnsupported
	}
	if t.wg != nil {
		o.publicKey = t.private.PublicKey().String()
		return nil
	}
	if err := t.probeWireguard(); err != nil {
		return err
	}
	private, err := privateKey(o.cfg.KeyFile)
	if err != nil {
		return err
	}
	// Only now: the client looks for the kernel's side of it once.
	client, err := wgctrl.New()
	if err != nil {
		return err
	}
	t.wg, t.private, o.publicKey = client, private, private.PublicKey().String()
	return nil
}

// probeWireguard makes a wireguard link and removes it again: the kernel loads a
// module that is there by itself.
func (t *tables) probeWireguard() error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = fmt.Sprintf("skiffp%d", os.Getpid())
	err := t.h.LinkAdd(&netlink.Wireguard{LinkAttrs: attrs})
	if errors.Is(err, unix.EOPNOTSUPP) {
		return unsupported("wireguard")
	}
	if err != nil {
		return fmt.Errorf("try a link: %w", err)
	}
	return t.h.LinkDel(&netlink.Wireguard{LinkAttrs: attrs})
}

// privateKey reads this node's key, or makes one.
func privateKey(path string) (wgtypes.Key, error) {
	text, err := os.ReadFile(path)
	if err == nil {
		key, err := wgtypes.ParseKey(strings.TrimSpace(string(text)))
		if err != nil {
			return key, fmt.Errorf("%s holds no key, remove it: %w", path, err)
		}
		return key, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return wgtypes.Key{}, err
	}
	key, err := wgtypes.GeneratePrivateKey()
	if err != nil {
		return key, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return key, err
	}
	return key, atomicfile.Write(path, []byte(key.String()+"\n"), 0o600)
}

// addWireguard makes the link. One that a crash left without its port is made
// anew.
func (t *tables) addWireguard(attrs netlink.LinkAttrs) error {
	l := &netlink.Wireguard{LinkAttrs: attrs}
	if err := t.h.LinkAdd(l); err != nil {
		return err
	}
	if err := t.setKey(); err != nil {
		return err
	}
	return t.h.LinkSetUp(l)
}

func (t *tables) setKey() error {
	port := WireGuardPort
	return t.wg.ConfigureDevice(t.link, wgtypes.Config{PrivateKey: &t.private, ListenPort: &port})
}

// readDevice completes the link and adds its peers. In another mode, the link is
// only in the way.
func (t *tables) readDevice(s State) error {
	if t.wg == nil {
		return nil
	}
	d, err := t.wg.Device(t.link)
	if err != nil {
		return fmt.Errorf("read %s: %w", t.link, err)
	}
	if l, ok := s[Link{}.Key()].(Link); ok {
		l.Fixed, l.PublicKey = fmt.Sprintf("port %d", d.ListenPort), d.PublicKey.String()
		s[l.Key()] = l
	}
	for _, p := range d.Peers {
		var allowed []netip.Prefix
		for _, n := range p.AllowedIPs {
			if prefix, ok := prefixOf(&n); ok {
				allowed = append(allowed, prefix)
			}
		}
		peer := Peer{PublicKey: p.PublicKey.String(), Allowed: joinPrefixes(allowed), Alive: time.Since(p.LastHandshakeTime) < alive}
		if p.Endpoint != nil {
			peer.Endpoint = netip.AddrPortFrom(addrOf(p.Endpoint.IP), uint16(p.Endpoint.Port))
		}
		s.put(peer)
	}
	return nil
}

func (t *tables) setPeer(p Peer) error {
	key, err := wgtypes.ParseKey(p.PublicKey)
	if err != nil {
		return fmt.Errorf("the node's annotation %s holds no key: %w", KeyAnnotation, err)
	}
	every := keepalive
	cfg := wgtypes.PeerConfig{
		PublicKey: key, Endpoint: net.UDPAddrFromAddrPort(p.Endpoint), PersistentKeepaliveInterval: &every, ReplaceAllowedIPs: true,
	}
	for text := range strings.SplitSeq(p.Allowed, ",") {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return err
		}
		cfg.AllowedIPs = append(cfg.AllowedIPs, *ipNet(prefix))
	}
	return t.wg.ConfigureDevice(t.link, wgtypes.Config{Peers: []wgtypes.PeerConfig{cfg}})
}

func (t *tables) removePeer(p Peer) error {
	key, err := wgtypes.ParseKey(p.PublicKey)
	if err != nil || t.wg == nil {
		return err
	}
	return t.wg.ConfigureDevice(t.link, wgtypes.Config{Peers: []wgtypes.PeerConfig{{PublicKey: key, Remove: true, UpdateOnly: true}}})
}

// joinPrefixes: the kernel lists them in another order than they were given in.
func joinPrefixes(list []netip.Prefix) string {
	texts := make([]string, len(list))
	list = slices.SortedFunc(slices.Values(list), func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	for i, p := range list {
		texts[i] = p.String()
	}
	return strings.Join(texts, ",")
}
