package offline

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

// BenchmarkServices fills a new file with 1,000 services and their slices, changes
// the endpoints of one at a time, each written by itself, and reads everything.
func BenchmarkServices(b *testing.B) {
	const services = 1000
	s, err := Open(b.TempDir(), nodeKey(b), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	follow := func(of object) *followed {
		for _, k := range kinds {
			if fmt.Sprintf("%T", k.object()) == fmt.Sprintf("%T", of) {
				return &followed{store: s, kind: k, indexer: cache.NewIndexer(cache.MetaNamespaceKeyFunc, nil)}
			}
		}
		b.Fatalf("no kind of %T", of)
		return nil
	}
	put := func(f *followed, o object) {
		if err := f.indexer.Add(o); err != nil {
			b.Fatal(err)
		}
		f.put(o, false)
	}
	svcs, slices := follow(&corev1.Service{}), follow(&discoveryv1.EndpointSlice{})
	for i := range services {
		put(svcs, &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: fmt.Sprintf("service-%d", i), UID: "0b94b8f2-9a6e-4b43-8a0e-6a4b24f0c6f2"},
			Spec: corev1.ServiceSpec{
				ClusterIP: "10.43.7.7", ClusterIPs: []string{"10.43.7.7"}, Selector: map[string]string{"app": "web"}, Type: corev1.ServiceTypeClusterIP,
				Ports: []corev1.ServicePort{{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP}},
			},
		})
		put(slices, slice(i, 0))
	}
	svcs.done()
	slices.done()
	flush := func() {
		if err := s.flush(); err != nil {
			b.Fatal(err)
		}
	}
	flush()
	size := func() float64 {
		info, err := os.Stat(filepath.Join(filepath.Dir(s.file.path), fileName))
		if err != nil {
			b.Fatal(err)
		}
		return float64(info.Size()) / (1 << 20)
	}
	b.Run("change", func(b *testing.B) {
		stats := func() int64 { all := s.file.db.Stats(); return all.TxStats.GetPageAlloc() }
		written := stats()
		for i := range b.N {
			put(slices, slice(i%services, i+1))
			flush()
		}
		b.ReportMetric(float64(stats()-written)/1024/float64(b.N), "KiB-written/op")
		b.ReportMetric(size(), "MiB-file")
	})
	b.Run("load", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			for _, f := range []*followed{svcs, slices} {
				if got, ok := s.load(f.kind); !ok || len(got) != services {
					b.Fatalf("%d of %s", len(got), f.kind.bucket)
				}
			}
		}
	})
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}
