package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"skiff/atomicfile"
)

// Epoch is the earliest time that this program takes for true: no certificate is
// issued as if it were earlier, whatever the clock says.
var Epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

var (
	notBefore  = time.Unix(0, 0).UTC()
	noNotAfter = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

// Authority signs certificates.
type Authority struct {
	// Cert is the authority's own, self-signed certificate.
	Cert *x509.Certificate
	// PEM is Cert, encoded.
	PEM []byte
	key *ecdsa.PrivateKey
}

// openAuthority reads the authority NAME.crt and NAME.key in dir, and makes
// whatever of it is missing; a certificate without its key is an error.
func openAuthority(dir, name string) (*Authority, error) {
	crt, keyPath := filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	data, err := os.ReadFile(crt)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return createAuthority(name, crt, keyPath)
	case err != nil:
		return nil, err
	}
	if _, err := os.Stat(keyPath); err != nil {
		return nil, fmt.Errorf("authority %s has lost its key (restore it from a backup): %w", crt, err)
	}
	key, err := loadOrCreateKey(keyPath)
	if err != nil {
		return nil, err
	}
	_, certs, err := decodePEM(data)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", crt, err)
	}
	if len(certs) == 0 || !key.PublicKey.Equal(certs[0].PublicKey) {
		return nil, fmt.Errorf("%s and %s do not belong together; restore both from a backup", crt, keyPath)
	}
	return &Authority{Cert: certs[0], PEM: data, key: key}, nil
}

// createAuthority writes the key before the certificate: a power cut between the
// two leaves a key that is taken up at the next start.
func createAuthority(name, crt, keyPath string) (*Authority, error) {
	key, err := loadOrCreateKey(keyPath)
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	tmpl := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "skiff-" + name},
		NotBefore:             notBefore,
		NotAfter:              noNotAfter,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("make authority %s: %w", name, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make authority %s: %w", name, err)
	}
	a := &Authority{Cert: cert, PEM: encodeCertificate(der), key: key}
	return a, atomicfile.WriteSync(crt, a.PEM, 0o644)
}

// Pool returns a pool with the authority as its only root.
func (a *Authority) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.Cert)
	return p
}

// Hash identifies the authority in tokens: the SHA-256 of its public key (DER
// SubjectPublicKeyInfo), in hex.
func (a *Authority) Hash() string {
	return publicKeyHash(a.Cert)
}

// HashIn returns the hash of the server authority that is kept in dir, "" if none
// is.
func HashIn(dir string) (string, error) {
	path := filepath.Join(dir, serverCA+".crt")
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	hash, err := HashOf(data)
	if err != nil {
		return "", fmt.Errorf("%s is damaged, restore it from a backup: %w", path, err)
	}
	return hash, nil
}

// HashOf returns the hash (Authority.Hash) of an authority's certificate in PEM.
func HashOf(bundle []byte) (string, error) {
	_, certs, err := decodePEM(bundle)
	if err == nil && len(certs) == 0 {
		err = errors.New("no certificate in it")
	}
	if err != nil {
		return "", err
	}
	return publicKeyHash(certs[0]), nil
}

func publicKeyHash(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

// Sign signs tmpl for pub: it sets serial number, validity (until life after now,
// or after Epoch if the clock is behind it) and signer. It returns the DER form.
func (a *Authority) Sign(tmpl *x509.Certificate, pub crypto.PublicKey, now time.Time, life time.Duration) ([]byte, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	t := *tmpl
	t.SerialNumber = serial
	t.NotBefore = notBefore
	t.NotAfter = credible(now).Add(life).UTC().Truncate(time.Second)
	t.BasicConstraintsValid = true
	der, err := x509.CreateCertificate(rand.Reader, &t, a.Cert, pub, a.key)
	if err != nil {
		return nil, fmt.Errorf("sign certificate of %q: %w", t.Subject.CommonName, err)
	}
	return der, nil
}

// credible returns now, or Epoch if the clock is behind it.
func credible(now time.Time) time.Time {
	if now.Before(Epoch) {
		return Epoch
	}
	return now
}

func newSerial() (*big.Int, error) {
	limit := new(big.Int).Lsh(big.NewInt(1), 127)
	n, err := rand.Int(rand.Reader, limit)
	if err != nil {
		return nil, fmt.Errorf("make serial number: %w", err)
	}
	return n.Add(n, big.NewInt(1)), nil
}
