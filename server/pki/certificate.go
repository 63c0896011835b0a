package pki

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"skiff/atomicfile"
)

// Certificate is an identity's certificate; it renews itself. It is safe for
// concurrent use.
type Certificate struct {
	pki  *PKI
	path string

	current atomic.Pointer[tls.Certificate]

	mu       sync.Mutex // guards what follows, and renewal
	id       Identity
	unsaved  bool // current is not on disk yet
	watchers []func(*tls.Certificate)
}

// Get returns the certificate to use now, renewed if that is due.
func (c *Certificate) Get() (*tls.Certificate, error) {
	cur := c.current.Load()
	if !due(cur.Leaf, c.pki.clock.Now(), c.lifetime()) {
		return cur, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if cur = c.current.Load(); !due(cur.Leaf, c.pki.clock.Now(), c.lifetime()) {
		return cur, nil
	}
	if err := c.renew("due"); err != nil {
		return nil, err
	}
	return c.current.Load(), nil
}

// GetCertificate is for tls.Config.GetCertificate.
func (c *Certificate) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.Get()
}

// GetClientCertificate is for tls.Config.GetClientCertificate.
func (c *Certificate) GetClientCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return c.Get()
}

// PEM returns the chain and the key, encoded.
func (c *Certificate) PEM() (chain, key []byte, err error) {
	cur, err := c.Get()
	if err != nil {
		return nil, nil, err
	}
	return encodePair(cur)
}

// SetNames changes what the certificate is valid for; it is issued again if that
// differs from before.
func (c *Certificate) SetNames(n Names) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.id.Names = n
	if c.fits(c.current.Load().Leaf) {
		return nil
	}
	return c.renew("names changed")
}

// Names returns what the certificate is valid for now.
func (c *Certificate) Names() Names { return namesOf(c.current.Load().Leaf) }

// OnRenew has f called after each renewal, with the new certificate. f must not
// call back into c.
func (c *Certificate) OnRenew(f func(*tls.Certificate)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watchers = append(c.watchers, f)
}

// load takes the certificate from disk if it is still good, or issues one. An
// unreadable file is replaced: nothing is lost with it.
func (c *Certificate) load() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	data, err := os.ReadFile(c.path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("load certificate: %w", err)
	}
	key, certs, err := decodePEM(data)
	if err == nil && key != nil && len(certs) > 0 && key.PublicKey.Equal(certs[0].PublicKey) &&
		certs[0].CheckSignatureFrom(c.authority().Cert) == nil &&
		c.fits(certs[0]) && !due(certs[0], c.pki.clock.Now(), c.lifetime()) {
		c.current.Store(&tls.Certificate{Certificate: [][]byte{certs[0].Raw}, PrivateKey: key, Leaf: certs[0]})
		return nil
	}
	if err := c.issue(); err != nil {
		return err
	}
	return c.save()
}

// check renews if due, and saves what could not be saved before.
func (c *Certificate) check() error {
	if _, err := c.Get(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.save()
}

// renew issues, and tells the watchers. The certificate is good even if the disk
// is not: saving is tried again by check.
func (c *Certificate) renew(why string) error {
	if err := c.issue(); err != nil {
		return err
	}
	cur := c.current.Load()
	c.pki.log.Info("renewed certificate", "certificate", c.id.Name, "reason", why, "until", cur.Leaf.NotAfter)
	if err := c.save(); err != nil {
		c.pki.log.Warn("the renewed certificate is used, but could not be saved", "certificate", c.id.Name, "err", err)
	}
	for _, f := range c.watchers {
		f(cur)
	}
	return nil
}

func (c *Certificate) issue() error {
	key, err := newKey()
	if err != nil {
		return fmt.Errorf("issue certificate %s: %w", c.id.Name, err)
	}
	der, err := c.authority().Sign(c.id.template(), &key.PublicKey, c.pki.clock.Now(), c.lifetime())
	if err != nil {
		return err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return fmt.Errorf("issue certificate %s: %w", c.id.Name, err)
	}
	c.current.Store(&tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf})
	c.unsaved = true
	return nil
}

func (c *Certificate) save() error {
	if !c.unsaved {
		return nil
	}
	chain, key, err := encodePair(c.current.Load())
	if err != nil {
		return err
	}
	if err := atomicfile.Write(c.path, append(key, chain...), 0o600); err != nil {
		return err
	}
	c.unsaved = false
	return nil
}

func (c *Certificate) authority() *Authority {
	switch c.id.Role {
	case ClientRole:
		return c.pki.Client
	case FrontProxyRole:
		return c.pki.FrontProxy
	default:
		return c.pki.Server
	}
}

func (c *Certificate) lifetime() time.Duration {
	if c.id.Lifetime > 0 {
		return c.id.Lifetime
	}
	return DefaultLifetime
}

// fits tells whether leaf is a certificate of the identity as it is now.
func (c *Certificate) fits(leaf *x509.Certificate) bool {
	want, have := c.id.Names.normal(), namesOf(leaf)
	return leaf.Subject.CommonName == c.id.CommonName &&
		slices.Equal(sorted(leaf.Subject.Organization), sorted(c.id.Organizations)) &&
		slices.Equal(want.DNS, have.DNS) && slices.Equal(want.IPs, have.IPs)
}

func sorted(s []string) []string {
	s = slices.Clone(s)
	slices.Sort(s)
	return s
}

func namesOf(leaf *x509.Certificate) Names {
	n := Names{DNS: leaf.DNSNames}
	for _, ip := range leaf.IPAddresses {
		if a, ok := netip.AddrFromSlice(ip); ok {
			n.IPs = append(n.IPs, a)
		}
	}
	return n.normal()
}

// due tells whether a leaf of the given lifetime is to be replaced: in the last
// third of its life, or if it ends later than one issued now would, which means
// that the clock was ahead when it was issued.
func due(leaf *x509.Certificate, now time.Time, life time.Duration) bool {
	now = credible(now)
	return !now.Before(leaf.NotAfter.Add(-life/3)) || leaf.NotAfter.After(now.Add(life+24*time.Hour))
}

func (id Identity) template() *x509.Certificate {
	n := id.Names.normal()
	t := &x509.Certificate{
		Subject:  pkix.Name{CommonName: id.CommonName, Organization: id.Organizations},
		KeyUsage: x509.KeyUsageDigitalSignature,
		DNSNames: n.DNS,
	}
	for _, ip := range n.IPs {
		t.IPAddresses = append(t.IPAddresses, net.IP(ip.AsSlice()))
	}
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if id.Role == ServerRole {
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	return t
}
