package pki

import (
	"crypto/ecdsa"
	"crypto/tls"
	"fmt"
)

// encodePair returns the certificate's chain and key as PEM.
func encodePair(c *tls.Certificate) (chain, key []byte, err error) {
	ec, ok := c.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, nil, fmt.Errorf("encode certificate: %T is not an ECDSA key", c.PrivateKey)
	}
	if key, err = encodeKey(ec); err != nil {
		return nil, nil, err
	}
	for _, der := range c.Certificate {
		chain = append(chain, encodeCertificate(der)...)
	}
	return chain, key, nil
}
