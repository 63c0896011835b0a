package registry_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry"
	"skiff/store"
	"skiff/store/mvcc"
	"skiff/store/storetest"
)

const firstPort, lastPort = 30000, 30003

// services claim node ports out of four.
func services() *registry.Resource {
	key := func(port int32) string { return fmt.Sprintf("claims/nodeport/%d", port) }
	return &registry.Resource{
		Plural: "services", Singular: "service", Kind: "Service", Namespaced: true,
		Versions: []registry.Version{{Name: "v1", New: registry.New[corev1.Service](), NewList: registry.New[corev1.ServiceList]()}},
		Rules: registry.Rules{
			AllowUnconditionalUpdate: true,
			Allocate: func(ctx context.Context, r registry.Reader, obj, _ registry.Object) error {
				for i := range obj.(*corev1.Service).Spec.Ports {
					p := &obj.(*corev1.Service).Spec.Ports[i]
					for n := int32(firstPort); p.NodePort == 0 && n <= lastPort; n++ {
						taken, err := r.Exists(ctx, key(n))
						if err != nil {
							return err
						}
						if !taken {
							p.NodePort = n
						}
					}
					if p.NodePort == 0 {
						return apierrors.NewInvalid(schema.GroupKind{Kind: "Service"}, obj.GetName(), field.ErrorList{field.InternalError(field.NewPath("spec"), errors.New("range is full"))})
					}
				}
				return nil
			},
			Claims: func(obj registry.Object) []registry.Claim {
				var claims []registry.Claim
				for _, p := range obj.(*corev1.Service).Spec.Ports {
					claims = append(claims, registry.Claim{Key: key(p.NodePort), What: "provided port is already allocated"})
				}
				return claims
			},
		},
	}
}

func service(name string, ports ...int32) *corev1.Service {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}}
	for _, p := range ports {
		s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{NodePort: p})
	}
	return s
}

func newStore(t *testing.T, st store.Store, res *registry.Resource) *registry.Store {
	t.Helper()
	r, err := registry.NewRegistry(st, nil, res)
	if err != nil {
		t.Fatal(err)
	}
	s, ok := r.Store(res.GroupResource())
	if !ok {
		t.Fatal("no store")
	}
	return s
}

func TestClaimsAreUniqueUnderConcurrency(t *testing.T) {
	ctx := context.Background()
	st := storetest.NewMemory(t)
	s := newStore(t, st, services())
	var wg sync.WaitGroup
	var mu sync.Mutex
	ports := map[int32]string{}
	full := 0
	for i := range 8 {
		wg.Go(func() {
			name := fmt.Sprintf("s%d", i)
			w, err := s.Create(ctx, service(name, 0), registry.Hooks{}, false)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				full++
				return
			}
			p := w.Object.(*corev1.Service).Spec.Ports[0].NodePort
			if other, ok := ports[p]; ok {
				t.Errorf("%s and %s both have port %d", name, other, p)
			}
			ports[p] = name
		})
	}
	wg.Wait()
	if len(ports) != 4 || full != 4 {
		t.Fatalf("%d services got ports, %d did not: %v", len(ports), full, ports)
	}
	// A port comes free with its service, and not before.
	for p, name := range ports {
		if _, err := s.Create(ctx, service("late", p), registry.Hooks{}, false); !apierrors.IsConflict(err) {
			t.Fatalf("taken port: %v", err)
		}
		if _, err := s.Delete(ctx, "default", name, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Create(ctx, service("late", p), registry.Hooks{}, false); err != nil {
			t.Fatal(err)
		}
		break
	}
}

func TestClaimsFollowUpdatesAndCollections(t *testing.T) {
	ctx := context.Background()
	st := storetest.NewMemory(t)
	s := newStore(t, st, services())
	count := func() int64 {
		n, err := st.Count(ctx, "claims/")
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if _, err := s.Create(ctx, service("a", 30000, 30001), registry.Hooks{}, false); err != nil {
		t.Fatal(err)
	}
	_, err := s.Modify(ctx, "default", "a", nil, func(o registry.Object) error {
		o.(*corev1.Service).Spec.Ports = service("", 30001, 30002, 30003).Spec.Ports
		return nil
	})
	if err != nil || count() != 3 {
		t.Fatalf("%d claims after the update: %v", count(), err)
	}
	if item, _, err := st.Get(ctx, "claims/nodeport/30002", store.ReadOptions{}); err != nil || string(item.Value) != "services/default/a" {
		t.Fatalf("claim %q: %v", item.Value, err)
	}
	_, err = s.RemoveCollection(ctx, registry.ListOptions{}, func(string) registry.Hooks { return registry.Hooks{} }, &metav1.DeleteOptions{})
	if err != nil || count() != 0 {
		t.Fatalf("%d claims after all is deleted: %v", count(), err)
	}
}

func TestModifyRetriesOnConflict(t *testing.T) {
	ctx := context.Background()
	s := newStore(t, storetest.NewMemory(t), services())
	if _, err := s.Create(ctx, service("a"), registry.Hooks{}, false); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			_, err := s.Modify(ctx, "default", "a", nil, func(o registry.Object) error {
				l := o.GetLabels()
				if l == nil {
					l = map[string]string{}
				}
				l[fmt.Sprint("l", i)] = "x"
				o.SetLabels(l)
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	obj, err := s.Get(ctx, "default", "a")
	if err != nil || len(obj.GetLabels()) != 20 {
		t.Fatalf("%d labels: %v", len(obj.GetLabels()), err)
	}
}

func events() []*registry.Resource {
	core := schema.GroupResource{Resource: "events"}
	return []*registry.Resource{
		{
			Group: "events.k8s.io", Plural: "events", Kind: "Event", Namespaced: true, StoredAs: &core,
			Versions: []registry.Version{{
				Name: "v1", New: registry.New[eventsv1.Event](), NewList: registry.New[eventsv1.EventList](),
				ToHub: func(in runtime.Object) (registry.Object, error) {
					e := in.(*eventsv1.Event)
					return &corev1.Event{ObjectMeta: e.ObjectMeta, Message: e.Note}, nil
				},
				FromHub: func(in registry.Object) (runtime.Object, error) {
					e := in.(*corev1.Event)
					return &eventsv1.Event{ObjectMeta: e.ObjectMeta, Note: e.Message}, nil
				},
			}},
			TTL: func(registry.Object) int64 { return 3600 },
		},
		{
			Plural: "events", Kind: "Event", Namespaced: true,
			Versions: []registry.Version{{Name: "v1", New: registry.New[corev1.Event](), NewList: registry.New[corev1.EventList]()}},
			TTL:      func(registry.Object) int64 { return 3600 },
		},
	}
}

func TestEventsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := mvcc.NewStore()
		defer st.Close()
		r, err := registry.NewRegistry(st, nil, events()...)
		if err != nil {
			t.Fatal(err)
		}
		core, _ := r.Store(schema.GroupResource{Resource: "events"})
		other, _ := r.Store(schema.GroupResource{Group: "events.k8s.io", Resource: "events"})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { r.Reap(ctx, slog.New(slog.DiscardHandler)) })
		create := func(s *registry.Store, name string) {
			t.Helper()
			_, err := s.Create(ctx, &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}}, registry.Hooks{}, false)
			if err != nil {
				t.Fatal(err)
			}
		}
		names := func() string {
			list, err := core.List(ctx, registry.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			var out []string
			for _, it := range list.Items {
				out = append(out, strings.TrimPrefix(it.Key, "events/default/"))
			}
			return strings.Join(out, " ")
		}
		create(core, "a")
		time.Sleep(30 * time.Minute)
		create(other, "b") // of the other group, the same objects
		time.Sleep(29 * time.Minute)
		if got := names(); got != "a b" {
			t.Fatalf("after 59 minutes: %q", got)
		}
		time.Sleep(5 * time.Minute)
		if got := names(); got != "b" {
			t.Fatalf("after 64 minutes: %q", got)
		}
		time.Sleep(30 * time.Minute)
		if got := names(); got != "" {
			t.Fatalf("after 94 minutes: %q", got)
		}
		// Nothing is left: it sleeps, and starts again with the next event.
		time.Sleep(100 * time.Hour)
		create(core, "c")
		time.Sleep(2 * time.Hour)
		if got := names(); got != "" {
			t.Fatalf("at the end: %q", got)
		}
		cancel()
		wg.Wait()
	})
}

// broken fails every write.
type broken struct {
	store.Store
	err error
}

func (b broken) Txn(context.Context, ...store.Op) ([]int64, error) { return nil, b.err }

func TestStoreErrors(t *testing.T) {
	for _, tt := range []struct {
		err  error
		code int32
	}{
		{store.ErrUnavailable, 503},
		{store.ErrUnknownOutcome, 504},
		{store.ErrNoSpace, 507},
		{store.ErrTooLarge, 413},
		{context.DeadlineExceeded, 504},
	} {
		s := newStore(t, broken{storetest.NewMemory(t), fmt.Errorf("txn: %w", tt.err)}, services())
		_, err := s.Create(context.Background(), service("a"), registry.Hooks{}, false)
		var status apierrors.APIStatus
		if !errors.As(err, &status) || status.Status().Code != tt.code {
			t.Errorf("%v became %v", tt.err, err)
		}
	}
}

// TestAdmissionStaysInTheNamespace: admission was asked about a write to one namespace,
// and the user has rights there; what the server says about an object it says itself.
func TestAdmissionStaysInTheNamespace(t *testing.T) {
	s := newStore(t, storetest.NewMemory(t), services())
	now := metav1.Now()
	for namespace, want := range map[string]bool{"kube-system": false, "": true} {
		_, err := s.Create(t.Context(), service("a"), registry.Hooks{Admit: func(_ context.Context, o, _ registry.Object) error {
			o.SetNamespace(namespace)
			o.SetUID("x")
			o.SetDeletionTimestamp(&now)
			return nil
		}}, false)
		if (err == nil) != want || !want && !apierrors.IsBadRequest(err) {
			t.Errorf("moved to %q: %v", namespace, err)
		}
	}
	o, err := s.Get(t.Context(), "default", "a")
	if err != nil {
		t.Fatal(err)
	}
	if o.GetUID() == "x" || o.GetDeletionTimestamp() != nil {
		t.Errorf("admission wrote %s, %s", o.GetUID(), o.GetDeletionTimestamp())
	}
}

func TestCollectionDeleteSurvivesChanges(t *testing.T) {
	ctx := context.Background()
	s := newStore(t, storetest.NewMemory(t), services())
	for i := range 10 {
		if _, err := s.Create(ctx, service(fmt.Sprint("s", i)), registry.Hooks{}, false); err != nil {
			t.Fatal(err)
		}
	}
	touched := false
	hooks := func(name string) registry.Hooks {
		return registry.Hooks{Validate: func(context.Context, registry.Object, registry.Object) error {
			if name != "s5" || touched {
				return nil
			}
			touched = true // between the list and the transaction
			if _, err := s.Delete(ctx, "default", "s3", nil); err != nil {
				return err
			}
			_, err := s.Modify(ctx, "default", "s4", nil, func(o registry.Object) error {
				o.SetLabels(map[string]string{"new": "1"})
				return nil
			})
			return err
		}}
	}
	if _, err := s.RemoveCollection(ctx, registry.ListOptions{}, hooks, &metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	list, err := s.List(ctx, registry.ListOptions{})
	if err != nil || len(list.Items) != 0 {
		t.Fatalf("%d left: %v", len(list.Items), err)
	}
}
