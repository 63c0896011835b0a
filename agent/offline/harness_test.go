package offline

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"go.etcd.io/bbolt"

	"skiff/server/clusterinfo"
)

// server is an API server that can be away.
type server struct {
	*fake.Clientset
	mu      sync.Mutex
	why     error
	watches []watch.Interface
	asked   int
}

var errRefused = syscall.ECONNREFUSED

func newServer(objects ...runtime.Object) *server {
	s := &server{Clientset: fake.NewClientset(objects...)}
	s.PrependReactor("*", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked++
		return s.why != nil, nil, s.why
	})
	s.PrependWatchReactor("*", func(a clienttesting.Action) (bool, watch.Interface, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.asked++; s.why != nil {
			return true, nil, s.why
		}
		action := a.(clienttesting.WatchActionImpl)
		w, err := s.Tracker().Watch(a.GetResource(), a.GetNamespace(), action.ListOptions)
		s.watches = append(s.watches, w)
		if name, one := action.WatchRestrictions.Fields.RequiresExactMatch(metav1.ObjectNameField); one {
			w = watch.Filter(w, func(e watch.Event) (watch.Event, bool) { return e, e.Object.(metav1.Object).GetName() == name })
		}
		return true, w, err
	})
	return s
}

// fail has every request fail from now on, and ends the watches; nil has it work.
func (s *server) fail(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.why = why
	if why != nil {
		for _, w := range s.watches {
			w.Stop()
		}
		s.watches = nil
	}
}

func (s *server) add(t *testing.T, objects ...runtime.Object) {
	t.Helper()
	for _, o := range objects {
		if err := s.Tracker().Add(o); err != nil {
			t.Fatal(err)
		}
	}
}

// nodeKey makes a node's key.
func nodeKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// lines is a log.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// with are the lines that hold a text.
func (l *lines) with(text string) (out []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.buf.String()) {
		if strings.Contains(line, text) {
			out = append(out, line)
		}
	}
	return out
}

// box is a node whose data folder outlives its processes.
type box struct {
	t   *testing.T
	dir string
	key crypto.Signer
	log lines

	store   *Store
	factory informers.SharedInformerFactory
	stop    func()
}

func newBox(t *testing.T) *box { return &box{t: t, dir: t.TempDir(), key: nodeKey(t)} }

// start begins a process of node n1, up to where nothing moves any more.
func (b *box) start(s *server) {
	b.t.Helper()
	b.open()
	b.factory = b.store.Factory(s, "n1")
	ctx, cancel := context.WithCancel(context.Background())
	b.factory.StartWithContext(ctx)
	b.stop = sync.OnceFunc(func() {
		cancel()
		b.factory.Shutdown()
		if err := b.store.Close(); err != nil {
			b.t.Error(err)
		}
	})
	b.t.Cleanup(b.stop)
	synctest.Wait()
}

func (b *box) open() {
	b.t.Helper()
	var err error
	if b.store, err = Open(b.dir, b.key, slog.New(slog.NewTextHandler(&b.log, nil))); err != nil {
		b.t.Fatal(err)
	}
}

// pods are the names that the informer has, "unknown" if it has no list.
func (b *box) pods() string {
	informer := b.factory.Core().V1().Pods().Informer()
	if !informer.HasSynced() {
		return "unknown"
	}
	keys := informer.GetIndexer().ListKeys()
	slices.Sort(keys)
	return strings.Join(keys, " ")
}

func (b *box) expectPods(want string) {
	b.t.Helper()
	synctest.Wait()
	if got := b.pods(); got != want {
		b.t.Errorf("the pods are %q, want %q", got, want)
	}
}

// expectDNS expects the hosts entries that users gave to DNS, "" for no config map.
func (b *box) expectDNS(hosts string) {
	b.t.Helper()
	synctest.Wait()
	got := ""
	informer := b.factory.Core().V1().ConfigMaps().Informer()
	for _, o := range informer.GetStore().List() {
		got += o.(*corev1.ConfigMap).Data["hosts"]
	}
	if got != hosts || !informer.HasSynced() {
		b.t.Errorf("DNS has the hosts %q, want %q (complete: %v)", got, hosts, informer.HasSynced())
	}
}

// transactions is how often the file was written.
func (b *box) transactions() (n int) {
	b.t.Helper()
	if err := b.store.file.do(func(db *bbolt.DB) error {
		return db.View(func(tx *bbolt.Tx) error { n = tx.ID(); return nil })
	}); err != nil {
		b.t.Fatal(err)
	}
	return n
}

func newPod(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID("uid-" + name), ResourceVersion: "7", Generation: 1},
		Spec:       corev1.PodSpec{NodeName: "n1"}, Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
}

func newDNSConfig(hosts string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: clusterinfo.Namespace, Name: clusterinfo.DNSName, ResourceVersion: "7"},
		Data:       map[string]string{"hosts": hosts},
	}
}

func newService(name string) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, ResourceVersion: "7"}, Spec: corev1.ServiceSpec{ClusterIP: "10.43.0.7"}}
}
