package join

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/util/cert"

	"skiff/atomicfile"
	"skiff/server/clusterinfo"
	"skiff/server/pki"
)

// The files of a node's folder.
const (
	keyFile       = "node.key"
	authorityFile = "authority.crt"
	clientFile    = "client.crt"
	servingFile   = "serving.crt"
	infoFile      = "cluster.json"
)

// kept is a node's folder.
type kept struct{ dir string }

func (k kept) path(name string) string { return filepath.Join(k.dir, name) }

// key is the node's, made if there is none.
func (k kept) key() (*ecdsa.PrivateKey, error) {
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		return nil, fmt.Errorf("keep the node's key: %w", err)
	}
	key, err := pki.OpenKey(k.path(keyFile))
	if err != nil {
		return nil, fmt.Errorf("open the node's key: %w", err)
	}
	return key, nil
}

// authority is the server authority that vouches for the cluster, nil if there is
// none.
func (k kept) authority() (*x509.Certificate, error) {
	b, err := os.ReadFile(k.path(authorityFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the cluster's authority: %w", err)
	}
	certs, err := cert.ParseCertsPEM(b)
	if err != nil {
		return nil, fmt.Errorf("%s is damaged, remove it and join again: %w", k.path(authorityFile), err)
	}
	return certs[0], nil
}

func (k kept) saveAuthority(c *x509.Certificate) error {
	return k.write(authorityFile, pem.EncodeToMemory(&pem.Block{Type: cert.CertificateBlockType, Bytes: c.Raw}), 0o644)
}

// certificate is one that fits the key, nil if there is none: what is missing or
// damaged is asked for again.
func (k kept) certificate(name string, key *ecdsa.PrivateKey) *issued {
	b, err := os.ReadFile(k.path(name))
	if err != nil {
		return nil
	}
	st, err := os.Stat(k.path(name))
	if err != nil {
		return nil
	}
	c, err := newIssued(b, key, st.ModTime())
	if err != nil {
		return nil
	}
	return c
}

// info is what was last known of the cluster, nil if nothing was.
func (k kept) info() *clusterinfo.Info {
	b, err := os.ReadFile(k.path(infoFile))
	if err != nil {
		return nil
	}
	var cm corev1.ConfigMap
	if err := json.Unmarshal(b, &cm.Data); err != nil {
		return nil
	}
	i, err := clusterinfo.FromConfigMap(&cm)
	if err != nil {
		return nil
	}
	return &i
}

func (k kept) saveInfo(i clusterinfo.Info) error {
	b, err := json.MarshalIndent(i.ConfigMap().Data, "", "  ")
	if err != nil {
		return fmt.Errorf("keep what is known of the cluster: %w", err)
	}
	return k.write(infoFile, append(b, '\n'), 0o600)
}

// write is synced: a box that has been told that it is a node still is one after
// a power cut, and little of this is ever written.
func (k kept) write(name string, data []byte, mode fs.FileMode) error {
	if err := atomicfile.WriteSync(k.path(name), data, mode); err != nil {
		return fmt.Errorf("keep the node's identity: %w", err)
	}
	return nil
}

// issued is a certificate for the node's key.
type issued struct {
	tls tls.Certificate
	// life is how long it was to live when it was issued.
	life time.Duration
}

// newIssued reads a chain that was issued about then.
func newIssued(chain []byte, key *ecdsa.PrivateKey, then time.Time) (*issued, error) {
	certs, err := cert.ParseCertsPEM(chain)
	if err != nil {
		return nil, err
	}
	if !key.PublicKey.Equal(certs[0].PublicKey) {
		return nil, errors.New("it is for another key")
	}
	c := &issued{tls: tls.Certificate{PrivateKey: key, Leaf: certs[0]}}
	for _, x := range certs {
		c.tls.Certificate = append(c.tls.Certificate, x.Raw)
	}
	if then.Before(pki.Epoch) {
		then = pki.Epoch
	}
	c.life = certs[0].NotAfter.Sub(then)
	if c.life <= 0 || c.life > pki.DefaultLifetime {
		c.life = pki.DefaultLifetime // the clock was wrong then
	}
	return c, nil
}

// ended tells whether the certificate is of no use any more.
func (c *issued) ended(now time.Time) bool { return now.After(c.tls.Leaf.NotAfter) }

// due tells whether it is to be replaced: early in the last third of its life, the
// later the larger share is (0 to 1), so that not all nodes come at once.
func (c *issued) due(now time.Time, share float64) bool {
	third := c.life / 3
	return !now.Before(c.tls.Leaf.NotAfter.Add(-third + time.Duration(share*float64(third/2))))
}
