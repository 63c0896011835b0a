package offline

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// streamer is a server that streams its lists, as the real ones do and client-go's
// fake does not.
type streamer struct {
	t    *testing.T
	mu   sync.Mutex
	pods []string
	why  error
	cut  []context.CancelFunc
}

func (s *streamer) set(why error, pods ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.why, s.pods = why, pods
	for _, cut := range s.cut {
		cut()
	}
	s.cut = nil
}

func (s *streamer) watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.why != nil {
		return nil, s.why
	}
	ctx, cancel := context.WithCancel(ctx)
	s.cut = append(s.cut, cancel)
	var events []watch.Event
	if o.SendInitialEvents != nil {
		for _, name := range s.pods {
			events = append(events, watch.Event{Type: watch.Added, Object: newPod(name)})
		}
		end := newPod("")
		end.Annotations = map[string]string{metav1.InitialEventsAnnotationKey: "true"}
		events = append(events, watch.Event{Type: watch.Bookmark, Object: end})
	} else if o.ResourceVersion == "" {
		s.t.Error("a watch from no version")
	}
	out := make(chan watch.Event)
	go func() {
		defer close(out)
		for _, e := range events {
			select {
			case out <- e:
			case <-ctx.Done():
				return
			}
		}
		<-ctx.Done()
	}()
	return &diskWatch{out, cancel}, nil
}

func (s *streamer) list(context.Context, metav1.ListOptions) (runtime.Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.why == nil {
		s.t.Error("a list that is not streamed")
	}
	return nil, s.why
}

// TestStreamedLists does what TestStartsFromDisk does where lists are streamed.
func TestStreamedLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := newBox(t), &streamer{t: t, pods: []string{"a", "b"}}
		k := *kinds[0]
		var informer cache.SharedIndexInformer
		start := func() (stop func()) {
			b.open()
			// The link asks this one.
			b.store.client, b.store.node = newServer(), "n1"
			b.store.link.ping = func(context.Context) error { s.mu.Lock(); defer s.mu.Unlock(); return s.why }
			lw := newListWatch(b.store, &k, &cache.ListWatch{ListWithContextFunc: s.list, WatchFuncWithContext: s.watch}, nil)
			informer = b.store.informer(&k, lw, 0)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { defer close(done); informer.RunWithContext(ctx) }()
			synctest.Wait()
			return func() {
				cancel()
				<-done
				if err := b.store.Close(); err != nil {
					t.Error(err)
				}
			}
		}
		expect := func(want string) {
			t.Helper()
			synctest.Wait()
			keys := informer.GetIndexer().ListKeys()
			slices.Sort(keys)
			if got := strings.Join(keys, " "); got != want || !informer.HasSynced() {
				t.Errorf("the pods are %q, want %q (synced: %v)", got, want, informer.HasSynced())
			}
		}
		stop := start()
		expect("ns/a ns/b")
		stop()
		s.set(errRefused)
		stop = start()
		expect("ns/a ns/b")
		time.Sleep(time.Hour)
		s.set(nil, "b", "c")
		time.Sleep(2 * longestPing)
		expect("ns/b ns/c")
		s.set(errRefused)
		time.Sleep(time.Hour)
		expect("ns/b ns/c")
		s.set(nil, "b", "c")
		time.Sleep(2 * longestPing)
		synctest.Wait()
		s.mu.Lock()
		if len(s.cut) != 1 {
			t.Errorf("%d watches when the server was back", len(s.cut))
		}
		s.mu.Unlock()
		stop()
	})
}
