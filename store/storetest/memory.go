// Package storetest holds the suite that every store passes (Run), stores for
// other packages' tests (NewMemory), a check for linearizability, and a disk
// that fails on demand. Only tests import it.
package storetest

import (
	"testing"

	"skiff/store"
	"skiff/store/mvcc"
)

// NewMemory returns an empty store in memory, closed when the test ends.
func NewMemory(t testing.TB) store.Store {
	t.Helper()
	s := mvcc.NewStore()
	t.Cleanup(func() { _ = s.Close() })
	return s
}
