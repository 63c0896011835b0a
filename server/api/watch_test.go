package api_test

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	"skiff/server/api"
	"skiff/server/client"
	"skiff/store/mvcc"
)

func next(t *testing.T, w watch.Interface) watch.Event {
	t.Helper()
	select {
	case e, ok := <-w.ResultChan():
		if !ok {
			t.Fatal("watch ended")
		}
		return e
	case <-time.After(20 * time.Second):
		t.Fatal("no event")
	}
	return watch.Event{}
}

// expect compares an event's type, and name and version of its object.
func expect(t *testing.T, w watch.Interface, typ watch.EventType, name string) metav1.Object {
	t.Helper()
	e := next(t, w)
	m, ok := e.Object.(metav1.Object)
	if !ok {
		t.Fatalf("event %s has a %T: %v", e.Type, e.Object, e.Object)
	}
	if e.Type != typ || m.GetName() != name {
		t.Fatalf("got %s %q, want %s %q", e.Type, m.GetName(), typ, name)
	}
	return m
}

func TestWatch(t *testing.T) {
	each(t, func(t *testing.T, _ *fixture, c kubernetes.Interface) {
		ctx := testContext(t)
		cms := c.CoreV1().ConfigMaps("default")
		w, err := cms.Watch(ctx, metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		a, err := cms.Create(ctx, configMap("a", "k", "1"), metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if m := expect(t, w, watch.Added, "a"); m.GetResourceVersion() != a.ResourceVersion || m.GetUID() != a.UID {
			t.Fatalf("added %v, created %v", m, a)
		}
		a.Data["k"] = "2"
		b, err := cms.Update(ctx, a, metav1.UpdateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if m := expect(t, w, watch.Modified, "a"); m.GetResourceVersion() != b.ResourceVersion || m.(*corev1.ConfigMap).Data["k"] != "2" {
			t.Fatalf("modified %v, updated %v", m, b)
		}
		if err := cms.Delete(ctx, "a", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		// A deleted object is as it was, with the version of the deletion.
		m := expect(t, w, watch.Deleted, "a")
		if m.(*corev1.ConfigMap).Data["k"] != "2" || number(t, m) <= number(t, b) {
			t.Fatalf("deleted %v after %v", m, b)
		}
	})
}

func number(t *testing.T, m metav1.Object) int64 {
	t.Helper()
	n, err := strconv.ParseInt(m.GetResourceVersion(), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestWatchBySelectors(t *testing.T) {
	each(t, func(t *testing.T, _ *fixture, c kubernetes.Interface) {
		ctx := testContext(t)
		pods := c.CoreV1().Pods("default")
		byLabel, err := pods.Watch(ctx, metav1.ListOptions{LabelSelector: "on=1"})
		if err != nil {
			t.Fatal(err)
		}
		defer byLabel.Stop()
		byNode, err := c.CoreV1().Pods("").Watch(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=n"})
		if err != nil {
			t.Fatal(err)
		}
		defer byNode.Stop()
		byName, err := pods.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=p"})
		if err != nil {
			t.Fatal(err)
		}
		defer byName.Stop()
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}}
		steps := []func(){
			func() {},
			func() { p.Labels = map[string]string{"on": "1"} },
			func() { p.Spec.NodeName = "n" },
			func() { p.Labels = nil },
			func() { p.Spec.NodeName = "other" },
		}
		for i, step := range steps {
			step()
			var err error
			if i == 0 {
				_, err = pods.Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "pp"}}, metav1.CreateOptions{})
				if err == nil {
					p, err = pods.Create(ctx, p, metav1.CreateOptions{})
				}
			} else {
				p, err = pods.Update(ctx, p, metav1.UpdateOptions{})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		expect(t, byLabel, watch.Added, "p")
		expect(t, byLabel, watch.Modified, "p")
		expect(t, byLabel, watch.Deleted, "p")
		expect(t, byNode, watch.Added, "p")
		expect(t, byNode, watch.Modified, "p")
		gone := expect(t, byNode, watch.Deleted, "p")
		if gone.(*corev1.Pod).Spec.NodeName != "n" || gone.GetResourceVersion() != p.ResourceVersion {
			t.Fatalf("a pod that left the selection is %v", gone)
		}
		expect(t, byName, watch.Added, "p")
		for range steps[1:] {
			expect(t, byName, watch.Modified, "p")
		}
	})
}

func TestWatchFromExpiredVersion(t *testing.T) {
	each(t, func(t *testing.T, f *fixture, c kubernetes.Interface) {
		ctx := testContext(t)
		cms := c.CoreV1().ConfigMaps("default")
		for _, name := range []string{"a", "b", "c"} {
			if _, err := cms.Create(ctx, configMap(name), metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		first, err := cms.List(ctx, metav1.ListOptions{Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cms.Create(ctx, configMap("d"), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := f.store.Compact(ctx, f.store.Revision()); err != nil {
			t.Fatal(err)
		}
		w, err := cms.Watch(ctx, metav1.ListOptions{ResourceVersion: "1"})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		if e := next(t, w); e.Type != watch.Error || !apierrors.IsResourceExpired(apierrors.FromObject(e.Object)) {
			t.Fatalf("got %s %v", e.Type, e.Object)
		}
		// The rest of a list whose version expired is to be had at the latest.
		_, err = cms.List(ctx, metav1.ListOptions{Continue: first.Continue, Limit: 1})
		if !apierrors.IsResourceExpired(err) {
			t.Fatalf("continue: %v", err)
		}
		token := err.(apierrors.APIStatus).Status().ListMeta.Continue
		rest, err := cms.List(ctx, metav1.ListOptions{Continue: token})
		if err != nil || len(rest.Items) != 3 || rest.Items[0].Name != "b" {
			t.Fatalf("inconsistent continue: %v %v", rest, err)
		}
		if _, err := cms.List(ctx, metav1.ListOptions{ResourceVersion: "1", ResourceVersionMatch: metav1.ResourceVersionMatchExact}); !apierrors.IsResourceExpired(err) {
			t.Fatalf("exact list: %v", err)
		}
	})
}

func TestWatchList(t *testing.T) {
	each(t, func(t *testing.T, _ *fixture, c kubernetes.Interface) {
		ctx := testContext(t)
		cms := c.CoreV1().ConfigMaps("default")
		for _, name := range []string{"a", "b"} {
			if _, err := cms.Create(ctx, configMap(name), metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		w, err := cms.Watch(ctx, metav1.ListOptions{
			SendInitialEvents: ptr.To(true), AllowWatchBookmarks: true, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		expect(t, w, watch.Added, "a")
		expect(t, w, watch.Added, "b")
		mark := expect(t, w, watch.Bookmark, "")
		if mark.GetResourceVersion() != "2" || mark.GetAnnotations()[metav1.InitialEventsAnnotationKey] != "true" {
			t.Fatalf("bookmark %v", mark)
		}
		if _, err := cms.Create(ctx, configMap("c"), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		expect(t, w, watch.Added, "c")
	})
}

// TestBookmarks runs in virtual time.
func TestBookmarks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := mvcc.NewStore()
		srv, err := api.New(api.Config{Store: st, Resources: testResources(), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		c := kubernetes.NewForConfigOrDie(client.InProcess(srv, &user.DefaultInfo{Name: "test"}))
		ctx, cancel := context.WithCancel(t.Context())
		w, err := c.CoreV1().ConfigMaps("default").Watch(ctx, metav1.ListOptions{AllowWatchBookmarks: true, ResourceVersion: "0", SendInitialEvents: ptr.To(false), ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		// Progress of another resource is told after a minute.
		if _, err := c.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "n"}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		e := <-w.ResultChan()
		if m := e.Object.(metav1.Object); e.Type != watch.Bookmark || m.GetResourceVersion() != "1" {
			t.Fatalf("got %s %v", e.Type, e.Object)
		}
		if d := time.Since(start); d != time.Minute {
			t.Fatalf("bookmark after %v", d)
		}
		// Without progress there is none, until the watch ends by itself.
		if e, ok := <-w.ResultChan(); ok {
			t.Fatalf("got %s %v", e.Type, e.Object)
		}
		if d := time.Since(start); d < 30*time.Minute || d > time.Hour {
			t.Fatalf("watch ended after %v", d)
		}
		cancel()
		srv.Shutdown()
		_ = st.Close()
	})
}

func TestWatchTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := mvcc.NewStore()
		srv, err := api.New(api.Config{Store: st, Resources: testResources()})
		if err != nil {
			t.Fatal(err)
		}
		c := kubernetes.NewForConfigOrDie(client.InProcess(srv, &user.DefaultInfo{Name: "test"}))
		w, err := c.CoreV1().Pods("").Watch(t.Context(), metav1.ListOptions{TimeoutSeconds: ptr.To[int64](7)})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if e, ok := <-w.ResultChan(); ok {
			t.Fatalf("got %v", e)
		}
		if d := time.Since(start); d != 7*time.Second {
			t.Fatalf("watch ended after %v", d)
		}
		_ = st.Close()
	})
}

func TestInformer(t *testing.T) {
	each(t, func(t *testing.T, f *fixture, c kubernetes.Interface) {
		ctx := testContext(t)
		cms := c.CoreV1().ConfigMaps("default")
		before := configMap("before")
		before.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "m", Operation: "Update", APIVersion: "v1", FieldsType: "FieldsV1", FieldsV1: &metav1.FieldsV1{Raw: []byte("{}")}}}
		if _, err := cms.Create(ctx, before, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		factory := client.Informers(c)
		informer := factory.Core().V1().ConfigMaps()
		seen := make(chan string, 10)
		_, err := informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(o any) { seen <- "+" + o.(*corev1.ConfigMap).Name },
			DeleteFunc: func(o any) { seen <- "-" + o.(*corev1.ConfigMap).Name },
		})
		if err != nil {
			t.Fatal(err)
		}
		factory.StartWithContext(ctx)
		if !client.WaitForSync(ctx, factory) {
			t.Fatal("no sync")
		}
		got, err := informer.Lister().ConfigMaps("default").Get("before")
		if err != nil || got.ManagedFields != nil {
			t.Fatalf("%v %v", got, err)
		}
		if _, err := cms.Create(ctx, configMap("after"), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := cms.Delete(ctx, "before", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"+before", "+after", "-before"} {
			select {
			case s := <-seen:
				if s != want {
					t.Fatalf("saw %s, want %s", s, want)
				}
			case <-ctx.Done():
				t.Fatal("no event")
			}
		}
		// The reflector got its first list as a watch (KEP-3157).
		if _, metrics := do(t, f, "GET", "/metrics", ""); strings.Contains(metrics, `verb="LIST"`) {
			t.Error("the informer listed")
		}
	})
}

func TestMetadataWatch(t *testing.T) {
	for _, name := range []string{"json", "protobuf"} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, nil)
			ctx := testContext(t)
			cfg := f.remote
			if name == "protobuf" {
				cfg = f.local
			}
			m, err := metadata.NewForConfig(cfg)
			if err != nil {
				t.Fatal(err)
			}
			r := m.Resource(corev1.SchemeGroupVersion.WithResource("configmaps")).Namespace("default")
			w, err := r.Watch(ctx, metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer w.Stop()
			c := kubernetes.NewForConfigOrDie(f.local)
			cm := configMap("a", "k", "v")
			cm.Labels = map[string]string{"l": "1"}
			if _, err := c.CoreV1().ConfigMaps("default").Create(ctx, cm, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			if got := expect(t, w, watch.Added, "a"); got.GetLabels()["l"] != "1" || got.GetResourceVersion() != "1" {
				t.Fatalf("%v", got)
			}
			list, err := r.List(ctx, metav1.ListOptions{})
			if err != nil || len(list.Items) != 1 || list.Items[0].Name != "a" || list.ResourceVersion != "1" {
				t.Fatalf("%v %v", list, err)
			}
		})
	}
}
