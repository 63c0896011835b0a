package storetest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"skiff/store"
)

// Bench calls op from the given number of clients, b.N times in all, and
// reports operations per second.
func Bench(b *testing.B, clients int, op func(client, n int) error) {
	b.Helper()
	b.ReportAllocs()
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for c := range clients {
		wg.Go(func() {
			for {
				n := int(next.Add(1))
				if n > b.N {
					return
				}
				if err := op(c, n); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}

// Fill writes n keys with values of size bytes below prefix.
func Fill(t testing.TB, s store.Store, prefix string, n, size int) {
	t.Helper()
	for start := 0; start < n; start += 500 {
		var ops []store.Op
		for i := start; i < min(n, start+500); i++ {
			ops = append(ops, store.Op{Key: fmt.Sprintf("%s%06d", prefix, i), Value: make([]byte, size)})
		}
		if _, err := s.Txn(t.Context(), ops...); err != nil {
			t.Fatal(err)
		}
	}
}
