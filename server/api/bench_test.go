package api_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/kubernetes"

	"skiff/server/api"
	"skiff/server/client"
	"skiff/store"
	"skiff/store/cluster"
	"skiff/store/storetest"
)

// benchStore is the replicated store on disk, or one in memory with
// SKIFF_BENCH_STORE=memory.
func benchStore(b *testing.B) store.Store {
	b.Helper()
	if os.Getenv("SKIFF_BENCH_STORE") == "memory" {
		return storetest.NewMemory(b)
	}
	s, err := cluster.Open(cluster.Config{Dir: b.TempDir(), NodeID: "bench", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return s
}

func benchFixture(b *testing.B) (*fixture, kubernetes.Interface) {
	b.Helper()
	f := newFixture(b, func(c *api.Config) { c.Store = benchStore(b) })
	return f, kubernetes.NewForConfigOrDie(f.local)
}

func benchPod(i int) *corev1.Pod {
	quantity := resource.MustParse("100m")
	limits := corev1.ResourceList{corev1.ResourceCPU: quantity, corev1.ResourceMemory: resource.MustParse("64Mi")}
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: fmt.Sprintf("pod-%05d", i), Namespace: "default",
		Labels: map[string]string{"app": fmt.Sprintf("app-%d", i%100), "pod-template-hash": "5b7c8d9f4", "tier": "web"},
	}}
	p.Spec.Containers = []corev1.Container{{
		Name: "c", Image: "registry.example/app:1.2.3", Command: []string{"/bin/app", "--listen", ":8080"},
		Env:          []corev1.EnvVar{{Name: "A", Value: "1"}, {Name: "B", Value: "2"}},
		Ports:        []corev1.ContainerPort{{Name: "http", ContainerPort: 8080, Protocol: corev1.ProtocolTCP}},
		Resources:    corev1.ResourceRequirements{Limits: limits, Requests: limits},
		VolumeMounts: []corev1.VolumeMount{{Name: "token", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount", ReadOnly: true}},
	}}
	p.Status.Phase = corev1.PodRunning
	for _, t := range []corev1.PodConditionType{corev1.PodScheduled, corev1.PodReady, corev1.PodInitialized, corev1.ContainersReady} {
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: t, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()})
	}
	p.Spec.NodeName = fmt.Sprintf("node-%d", i%50)
	return p
}

func fillPods(b *testing.B, c kubernetes.Interface, n int) {
	b.Helper()
	var wg sync.WaitGroup
	var i atomic.Int64
	for range 64 {
		wg.Go(func() {
			for k := int(i.Add(1)); k <= n; k = int(i.Add(1)) {
				if _, err := c.CoreV1().Pods("default").Create(context.Background(), benchPod(k), metav1.CreateOptions{}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkCreate creates config maps of about 1 KB.
func BenchmarkCreate(b *testing.B) {
	for _, clients := range []int{1, 64} {
		for _, way := range []string{"in-process", "http"} {
			b.Run(fmt.Sprintf("%s/clients=%d", way, clients), func(b *testing.B) {
				f, c := benchFixture(b)
				if way == "http" {
					cfg := *f.remote
					cfg.Transport = &http.Transport{MaxIdleConnsPerHost: clients}
					c = kubernetes.NewForConfigOrDie(&cfg)
				}
				data := map[string]string{"data": string(bytes.Repeat([]byte("x"), 800))}
				b.ReportAllocs()
				b.ResetTimer()
				var wg sync.WaitGroup
				var i atomic.Int64
				for range clients {
					wg.Go(func() {
						for k := int(i.Add(1)); k <= b.N; k = int(i.Add(1)) {
							cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("cm-", k)}, Data: data}
							if _, err := c.CoreV1().ConfigMaps("default").Create(context.Background(), cm, metav1.CreateOptions{}); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "creates/s")
			})
		}
	}
}

// BenchmarkList lists 5,000 pods; what is measured ends with the last byte.
func BenchmarkList(b *testing.B) {
	f, c := benchFixture(b)
	fillPods(b, c, 5000)
	for _, l := range []struct{ name, query, accept string }{
		{"protobuf", "", "application/vnd.kubernetes.protobuf"},
		{"json", "", "application/json"},
		{"table", "", "application/json;as=Table;v=v1;g=meta.k8s.io"},
		{"metadata", "", "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"},
		{"label", "?labelSelector=app%3Dapp-7", "application/vnd.kubernetes.protobuf"},
		{"field", "?fieldSelector=spec.nodeName%3Dnode-7", "application/vnd.kubernetes.protobuf"},
	} {
		b.Run(l.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				req, _ := http.NewRequest(http.MethodGet, f.http.URL+"/api/v1/pods"+l.query, nil)
				req.Header.Set("Accept", l.accept)
				req.Header.Set("Accept-Encoding", "identity")
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					b.Fatal(err)
				}
				n, _ := io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				b.SetBytes(n)
			}
		})
	}
}

// sink is a client that counts what a watch sends it.
type sink struct {
	header http.Header
	seen   func()
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) WriteHeader(int)             {}
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }
func (s *sink) Flush()                      { s.seen() }

// BenchmarkWatch updates one object that 1,000 watchers see; an operation ends
// when all have it.
func BenchmarkWatch(b *testing.B) {
	const watchers = 1000
	srv, err := api.New(api.Config{Store: storetest.NewMemory(b), Resources: testResources()})
	if err != nil {
		b.Fatal(err)
	}
	c := kubernetes.NewForConfigOrDie(client.InProcess(srv, &user.DefaultInfo{Name: "bench"}))
	pod, err := c.CoreV1().Pods("default").Create(context.Background(), benchPod(1), metav1.CreateOptions{})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg, round sync.WaitGroup
	before := heap()
	round.Add(watchers) // the flush of the header
	for range watchers {
		wg.Go(func() {
			req := httptest.NewRequestWithContext(ctx, http.MethodGet, "/api/v1/pods?watch=true&resourceVersion="+pod.ResourceVersion+"&allowWatchBookmarks=true", nil)
			req.Header.Set("Accept", "application/vnd.kubernetes.protobuf")
			srv.ServeHTTP(&sink{header: http.Header{}, seen: round.Done}, req)
		})
	}
	round.Wait()
	perWatcher := float64(heap()-before) / watchers
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		round.Add(watchers)
		pod.Labels["n"] = fmt.Sprint(i)
		if pod, err = c.CoreV1().Pods("default").Update(ctx, pod, metav1.UpdateOptions{}); err != nil {
			b.Fatal(err)
		}
		round.Wait()
	}
	b.ReportMetric(perWatcher, "B/watcher")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/watchers, "ns/event")
	cancel()
	wg.Wait()
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// BenchmarkDeleteCollection deletes 5,000 pods at once.
func BenchmarkDeleteCollection(b *testing.B) {
	_, c := benchFixture(b)
	for range b.N {
		b.StopTimer()
		fillPods(b, c, 5000)
		b.StartTimer()
		zero := int64(0)
		err := c.CoreV1().Pods("default").DeleteCollection(context.Background(), metav1.DeleteOptions{GracePeriodSeconds: &zero}, metav1.ListOptions{})
		if err != nil {
			b.Fatal(err)
		}
	}
}
