package offline

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"hash/crc32"
)

// sealer makes of a value what is on disk and back. What is secret is sealed by
// AES-256-GCM under a key that follows from the node's own; everything else has a
// checksum, since the file's own cover its first pages only.
type sealer struct{ aead cipher.AEAD }

// errDamaged tells that a value is not what was written.
var errDamaged = errors.New("a value is damaged")

// purpose keeps this key apart from others that are made of the node's.
const purpose = "skiff agent/offline 1"

func newSealer(key crypto.Signer) (sealer, error) {
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return sealer{}, fmt.Errorf("make a key for what is kept on disk of the node's key: %w", err)
	}
	derived, err := hkdf.Key(sha256.New, secret, nil, purpose, 32)
	if err != nil {
		return sealer{}, fmt.Errorf("make a key for what is kept on disk: %w", err)
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return sealer{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return sealer{aead}, err
}

// seal returns what to write. The slot is authenticated along with a secret, so
// that one cannot be put in another's place.
func (s sealer) seal(at slot, value []byte) []byte {
	if at.bucket.secret() {
		return s.aead.Seal(nil, nil, value, []byte(at.String()))
	}
	out := make([]byte, crc32.Size, crc32.Size+len(value))
	sum := crc32.Checksum(value, castagnoli)
	out[0], out[1], out[2], out[3] = byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24)
	return append(out, value...)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// unseal is the reverse. The result may share memory with data.
func (s sealer) unseal(at slot, data []byte) ([]byte, error) {
	if at.bucket.secret() {
		value, err := s.aead.Open(nil, nil, data, []byte(at.String()))
		if err != nil {
			return nil, errWrongKey
		}
		return value, nil
	}
	if len(data) < crc32.Size {
		return nil, errDamaged
	}
	sum, value := uint32(data[0])|uint32(data[1])<<8|uint32(data[2])<<16|uint32(data[3])<<24, data[crc32.Size:]
	if sum != crc32.Checksum(value, castagnoli) {
		return nil, errDamaged
	}
	return value, nil
}

// errWrongKey tells that a secret was sealed by another node's key, or is damaged.
var errWrongKey = errors.New("it was sealed with another key than this node's")
