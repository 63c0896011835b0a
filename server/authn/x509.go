package authn

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
)

// clientCertificate authenticates by a verified client certificate: the common
// name is the user, the organizations are the groups.
type clientCertificate struct {
	verify *verifier
}

func newClientCertificate(ca *x509.CertPool, now func() time.Time) clientCertificate {
	return clientCertificate{newVerifier(ca, now)}
}

func (c clientCertificate) AuthenticateRequest(req *http.Request) (*authenticator.Response, bool, error) {
	if req.TLS == nil || len(req.TLS.PeerCertificates) == 0 {
		return nil, false, nil
	}
	u, err := c.verify.user(req.TLS.PeerCertificates)
	if err != nil || u == nil {
		return nil, false, err
	}
	return &authenticator.Response{User: u}, true, nil
}

// verifier checks chains of client certificates against one set of authorities.
// It remembers those it found good, as every request of a connection shows the
// same one, and the check costs more than most requests.
type verifier struct {
	roots *x509.CertPool
	now   func() time.Time

	mu   sync.Mutex
	good map[[sha256.Size]byte]proven
}

type proven struct {
	until time.Time
	user  user.Info // nil if the certificate names nobody
}

// maxProven bounds the memory; there are about as many as nodes and users.
const maxProven = 1024

func newVerifier(roots *x509.CertPool, now func() time.Time) *verifier {
	return &verifier{roots: roots, now: now, good: map[[sha256.Size]byte]proven{}}
}

// user returns whom the chain's first certificate names, nil if nobody.
func (v *verifier) user(chain []*x509.Certificate) (user.Info, error) {
	leaf, now := chain[0], v.now()
	sum := sha256.Sum256(leaf.Raw)
	v.mu.Lock()
	p, ok := v.good[sum]
	v.mu.Unlock()
	if ok && now.Before(p.until) && !now.Before(leaf.NotBefore) {
		return p.user, nil
	}
	until, err := v.chain(chain, now)
	if err != nil {
		return nil, err
	}
	u, err := userOf(leaf, sum)
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.good) >= maxProven {
		clear(v.good)
	}
	v.good[sum] = proven{until: until, user: u}
	return u, nil
}

// chain verifies, and returns when the earliest certificate of the chain ends.
func (v *verifier) chain(chain []*x509.Certificate, now time.Time) (time.Time, error) {
	opts := x509.VerifyOptions{Roots: v.roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if len(chain) > 1 {
		opts.Intermediates = x509.NewCertPool()
		for _, c := range chain[1:] {
			opts.Intermediates.AddCert(c)
		}
	}
	chains, err := chain[0].Verify(opts)
	if err != nil {
		return time.Time{}, fmt.Errorf("verifying certificate %s failed: %w", identifier(chain[0]), err)
	}
	until := chain[0].NotAfter
	for _, c := range chains[0] {
		if c.NotAfter.Before(until) {
			until = c.NotAfter
		}
	}
	return until, nil
}

func identifier(c *x509.Certificate) string {
	return fmt.Sprintf("SN=%d, SKID=%s, AKID=%s", c.SerialNumber, colonHex(c.SubjectKeyId), colonHex(c.AuthorityKeyId))
}

func colonHex(b []byte) string {
	parts := make([]string, len(b))
	for i, x := range b {
		parts[i] = fmt.Sprintf("%02X", x)
	}
	return strings.Join(parts, ":")
}

// uidOID is the subject attribute that carries a user's UID
// (AllowParsingUserUIDFromCertAuth).
var uidOID = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57683, 2}

func userOf(c *x509.Certificate, sum [sha256.Size]byte) (user.Info, error) {
	if c.Subject.CommonName == "" {
		return nil, nil
	}
	u := &user.DefaultInfo{
		Name:   c.Subject.CommonName,
		Groups: c.Subject.Organization,
		Extra:  map[string][]string{user.CredentialIDKey: {"X509SHA256=" + hex.EncodeToString(sum[:])}},
	}
	for _, n := range c.Subject.Names {
		if !n.Type.Equal(uidOID) {
			continue
		}
		uid, ok := n.Value.(string)
		switch {
		case !ok:
			return nil, errors.New("unable to parse UID into a string")
		case uid == "":
			return nil, errors.New("UID cannot be an empty string")
		case u.UID != "":
			return nil, fmt.Errorf("expected 1 UID, but found multiple: %v", []string{u.UID, uid})
		}
		u.UID = uid
	}
	return u, nil
}
