package offline

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"skiff/server/clusterinfo"
)

var (
	podResource       = corev1.SchemeGroupVersion.WithResource("pods")
	configMapResource = corev1.SchemeGroupVersion.WithResource("configmaps")
)

func TestStartsFromDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t)
		s := newServer(newPod("a"), newPod("b"), newService("web"), newDNSConfig("192.168.1.5 nas.home"))
		b.start(s)
		b.expectPods("ns/a ns/b")
		b.expectDNS("192.168.1.5 nas.home")
		b.stop()

		s.fail(errRefused)
		b.start(s)
		b.expectPods("ns/a ns/b")
		services, err := b.factory.Core().V1().Services().Lister().List(labels.Everything())
		if err != nil || len(services) != 1 || services[0].Spec.ClusterIP != "10.43.0.7" {
			t.Errorf("services %v, %v", services, err)
		}
		b.expectDNS("192.168.1.5 nas.home")
		if !b.store.Away() {
			t.Error("the server is not away")
		}

		// Meanwhile one pod goes, one comes, and a name leads elsewhere.
		if err := s.Tracker().Delete(podResource, "ns", "a"); err != nil {
			t.Fatal(err)
		}
		s.add(t, newPod("c"))
		if err := s.Tracker().Update(configMapResource, newDNSConfig("192.168.1.6 nas.home"), clusterinfo.Namespace); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		b.expectPods("ns/a ns/b")
		s.fail(nil)
		time.Sleep(2 * longestPing)
		b.expectPods("ns/b ns/c")
		select {
		case <-b.store.Back():
		default:
			t.Error("nobody was told that the server answers again")
		}

		b.expectDNS("192.168.1.6 nas.home")

		// Watches work as well.
		s.add(t, newPod("d"))
		if err := s.Tracker().Delete(configMapResource, clusterinfo.Namespace, clusterinfo.DNSName); err != nil {
			t.Fatal(err)
		}
		b.expectPods("ns/b ns/c ns/d")
		b.expectDNS("")
		b.stop()
		s.fail(errRefused)
		b.start(s)
		b.expectPods("ns/b ns/c ns/d")
		b.expectDNS("")
	})
}

func TestDeletedWhileTheNodeWasOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t)
		s := newServer(newPod("a"), newPod("b"))
		b.start(s)
		b.stop()
		if err := s.Tracker().Delete(podResource, "ns", "a"); err != nil {
			t.Fatal(err)
		}
		b.start(s)
		b.expectPods("ns/b")
		b.stop()
		s.fail(errRefused)
		b.start(s)
		b.expectPods("ns/b")
	})
}

func TestNothingKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t)
		s := newServer(newPod("a"))
		s.fail(errRefused)
		b.start(s)
		time.Sleep(time.Hour)
		b.expectPods("unknown")
		if b.store.Known() {
			t.Error("everything is known")
		}
		s.fail(nil)
		time.Sleep(2 * longestPing)
		b.expectPods("ns/a")
		time.Sleep(2 * lazily)
		synctest.Wait()
		if !b.store.Known() {
			t.Error("nothing is known")
		}
	})
}

// TestNoPodsIsKnown: a node without pods starts as one.
func TestNoPodsIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t)
		s := newServer()
		b.start(s)
		b.stop()
		s.fail(errRefused)
		b.start(s)
		b.expectPods("")
	})
}

// TestSlowServer has packets vanish: the first list is not waited for as long as the
// network's own limits are.
func TestSlowServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t)
		s := newServer(newPod("a"))
		b.start(s)
		b.stop()

		b.open()
		k := kinds[0]
		lw := k.source(s, "n1")
		lw.ListWithContextFunc = hang(lw.ListWithContextFunc)
		w := newListWatch(b.store, k, lw, s)
		w.synced = func() bool { return false }
		b.store.client = s
		s.fail(errRefused)
		began := time.Now()
		list, err := w.ListWithContext(t.Context(), metav1.ListOptions{})
		if err != nil || len(list.(*corev1.PodList).Items) != 1 || time.Since(began) != firstLimit {
			t.Errorf("%v, %v after %s", list, err, time.Since(began))
		}
		if err := b.store.Close(); err != nil {
			t.Error(err)
		}
	})
}

func hang[T any](func(context.Context, metav1.ListOptions) (T, error)) func(context.Context, metav1.ListOptions) (T, error) {
	return func(ctx context.Context, _ metav1.ListOptions) (zero T, err error) {
		<-ctx.Done()
		return zero, ctx.Err()
	}
}

func TestAnswers(t *testing.T) {
	gr := corev1.Resource("pods")
	for _, c := range []struct {
		what string
		err  error
		// known tells whether the pods come back from the disk.
		known bool
	}{
		{"connection refused", errRefused, true},
		{"not started yet", apierrors.NewServiceUnavailable("starting"), true},
		{"internal error", apierrors.NewInternalError(errRefused), true},
		{"overloaded", apierrors.NewTooManyRequests("later", 1), true},
		{"gateway", apierrors.NewGenericServerResponse(http.StatusBadGateway, "get", gr, "", "", 0, true), true},
		{"not this node's certificate", apierrors.NewUnauthorized("no"), false},
		{"not allowed", apierrors.NewForbidden(gr, "", errRefused), false},
	} {
		t.Run(c.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBox(t)
				s := newServer(newPod("a"))
				b.start(s)
				b.stop()
				s.fail(c.err)
				b.start(s)
				time.Sleep(30 * time.Minute)
				want := "unknown"
				if c.known {
					want = "ns/a"
				}
				b.expectPods(want)
				if n := len(b.log.with("level=WARN")); n == 0 || n > 31 {
					t.Errorf("%d lines in half an hour", n)
				}
				s.fail(nil)
				time.Sleep(2 * time.Minute)
				b.expectPods("ns/a")
			})
		})
	}
}

// TestRunningNodeLosesItsServer: what is known stays, the log is not flooded, and
// news come soon after the server is back, however long it was away.
func TestRunningNodeLosesItsServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t)
		s := newServer(newPod("a"), newPod("b"))
		b.start(s)
		s.fail(errRefused)
		time.Sleep(10 * time.Minute)
		b.expectPods("ns/a ns/b")
		if n := len(b.log.with("does not answer")); n < 9 || n > 11 {
			t.Errorf("%d lines in ten minutes", n)
		}
		s.mu.Lock()
		s.asked = 0
		s.mu.Unlock()
		time.Sleep(time.Minute)
		s.mu.Lock()
		if s.asked > 25 {
			t.Errorf("%d requests in a minute", s.asked)
		}
		s.mu.Unlock()
		s.fail(nil)
		time.Sleep(2 * longestPing)
		s.add(t, newPod("c"))
		b.expectPods("ns/a ns/b ns/c")
		if n := len(b.log.with("answers again")); n != 1 {
			t.Errorf("%d lines that the server is back", n)
		}
	})
}

func TestAnotherNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t)
		s := newServer(newPod("a"))
		b.start(s)
		b.stop()
		s.fail(errRefused)
		b.open()
		b.store.Factory(s, "n2")
		if b.store.Known() {
			t.Error("another node's pods are this one's")
		}
		if err := b.store.Close(); err != nil {
			t.Error(err)
		}
	})
}
