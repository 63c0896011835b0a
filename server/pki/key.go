package pki

import "crypto/ecdsa"

// OpenKey reads the key that is kept in path, or makes one and syncs it to disk.
// A node has one for its data folder's life.
func OpenKey(path string) (*ecdsa.PrivateKey, error) { return loadOrCreateKey(path) }
