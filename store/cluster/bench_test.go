package cluster_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"skiff/store"
	"skiff/store/cluster"
	"skiff/store/storetest"
)

func BenchmarkPut(b *testing.B) {
	value := make([]byte, 800)
	for _, clients := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			s := open(b, cluster.Config{Dir: b.TempDir()})
			storetest.Bench(b, clients, func(client, n int) error {
				_, err := s.Txn(b.Context(), store.Op{
					Key: fmt.Sprintf("configmaps/ns%d/%d", client, n%1000), Value: value, Expect: store.AnyRevision,
				})
				return err
			})
		})
	}
}

// BenchmarkPutVolatile renews leases, which costs no fsync.
func BenchmarkPutVolatile(b *testing.B) {
	value := make([]byte, 400)
	s := open(b, cluster.Config{Dir: b.TempDir()})
	storetest.Bench(b, 1, func(client, n int) error {
		_, err := s.Txn(b.Context(), store.Op{
			Key: "leases/kube-node-lease/a", Value: value, Expect: store.AnyRevision, Volatile: true,
		})
		return err
	})
}

func BenchmarkGet(b *testing.B) {
	s := open(b, cluster.Config{Dir: b.TempDir()})
	storetest.Fill(b, s, "pods/default/", 10_000, 1000)
	storetest.Bench(b, 1, func(client, n int) error {
		_, _, err := s.Get(b.Context(), fmt.Sprintf("pods/default/%06d", n%10_000), store.ReadOptions{})
		return err
	})
}

func BenchmarkList(b *testing.B) {
	for _, n := range []int{5_000, 50_000} {
		b.Run(fmt.Sprintf("items=%d", n), func(b *testing.B) {
			s := open(b, cluster.Config{Dir: b.TempDir()})
			storetest.Fill(b, s, "pods/default/", n, 1000)
			storetest.Fill(b, s, "secrets/default/", 1000, 1000)
			b.ReportAllocs()
			for b.Loop() {
				res, err := s.List(b.Context(), "pods/", store.ListOptions{})
				if err != nil || len(res.Items) != n {
					b.Fatalf("%d items, %v", len(res.Items), err)
				}
			}
		})
		b.Run(fmt.Sprintf("items=%d/limit=500", n), func(b *testing.B) {
			s := open(b, cluster.Config{Dir: b.TempDir()})
			storetest.Fill(b, s, "pods/default/", n, 1000)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.List(b.Context(), "pods/", store.ListOptions{Limit: 500}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkWatch has 1,000 watchers of one resource receive every change; an
// operation is one change delivered to all of them.
func BenchmarkWatch(b *testing.B) {
	const watchers = 1000
	s := open(b, cluster.Config{Dir: b.TempDir()})
	var seen atomic.Int64
	var wg sync.WaitGroup
	for range watchers {
		w, err := s.Watch("pods/", s.Revision())
		if err != nil {
			b.Fatal(err)
		}
		wg.Go(func() {
			defer w.Close()
			for n := 0; n < b.N; {
				batch, err := w.Next(b.Context())
				if err != nil {
					b.Error(err)
					return
				}
				n += len(batch.Events)
				seen.Add(int64(len(batch.Events)))
			}
		})
	}
	b.ResetTimer()
	for n := range b.N {
		if _, err := s.Txn(b.Context(), store.Op{Key: fmt.Sprintf("pods/a/%d", n%100), Value: []byte("v"), Expect: store.AnyRevision}); err != nil {
			b.Fatal(err)
		}
	}
	wg.Wait()
	b.ReportMetric(float64(seen.Load())/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkOpen opens and closes a store with 5,000 items, cleanly.
func BenchmarkOpen(b *testing.B) {
	cfg := cluster.Config{Dir: b.TempDir()}
	s := open(b, cfg)
	storetest.Fill(b, s, "pods/default/", 5000, 1000)
	for b.Loop() {
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		s = open(b, cfg)
	}
}
