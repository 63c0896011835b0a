package mvcc_test

import (
	"testing"

	"skiff/store"
	"skiff/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return storetest.NewMemory(t) })
}
