package offline

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestDamagedFile has a file that cannot be used put aside with one line, and written
// anew, whatever is wrong with it.
func TestDamagedFile(t *testing.T) {
	for what, damage := range map[string]func(data []byte) []byte{
		"no such file format": func([]byte) []byte { return make([]byte, 64<<10) },
		"text":                func([]byte) []byte { return []byte("hello") },
		"cut short":           func(data []byte) []byte { return data[:3*os.Getpagesize()] },
		"zeroes in the middle": func(data []byte) []byte {
			clear(data[2*os.Getpagesize():])
			return data
		},
		"one bit": func(data []byte) []byte {
			for i := 0; i+8 < len(data); i++ {
				if string(data[i:i+8]) == "10.43.0." {
					data[i] ^= 1
				}
			}
			return data
		},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBox(t)
				s := newServer(newPod("a"))
				for i := range 50 {
					s.add(t, newService(fmt.Sprint("s", i)))
				}
				b.start(s)
				b.stop()
				path := filepath.Join(b.dir, fileName)
				data, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, damage(data), 0o600); err != nil {
					t.Fatal(err)
				}
				s.fail(errRefused)
				b.start(s)
				time.Sleep(time.Minute)
				s.fail(nil)
				time.Sleep(time.Minute)
				synctest.Wait()
				b.expectPods("ns/a")
				b.stop()
				if n := len(b.log.with("damaged on disk")); n != 1 {
					t.Errorf("%d lines:\n%s", n, b.log.buf.String())
				}
				if _, err := os.Stat(path + ".damaged"); err != nil {
					t.Error(err)
				}
				s.fail(errRefused)
				b.start(s)
				b.expectPods("ns/a")
				if n := len(b.factory.Core().V1().Services().Informer().GetIndexer().ListKeys()); n != 50 {
					t.Errorf("%d services", n)
				}
			})
		})
	}
}

// TestPowerCut starts from copies of the file as it was at any time.
func TestPowerCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t)
		s := newServer(newPod("p0"))
		b.start(s)
		time.Sleep(lazily)
		synctest.Wait()
		cut := func() *box {
			data, err := os.ReadFile(filepath.Join(b.dir, fileName))
			if err != nil {
				t.Fatal(err)
			}
			later := newBox(t)
			later.key = b.key
			if err := os.WriteFile(filepath.Join(later.dir, fileName), data, 0o600); err != nil {
				t.Fatal(err)
			}
			return later
		}
		want := "ns/p0"
		for i := 1; i < 5; i++ {
			s.add(t, newPod(fmt.Sprint("p", i)), newService(fmt.Sprint("s", i)))
			synctest.Wait()
			early := cut()
			time.Sleep(soon)
			synctest.Wait()
			late := cut()
			away := newServer()
			away.fail(errRefused)
			early.start(away)
			early.expectPods(want)
			early.stop()
			want += fmt.Sprint(" ns/p", i)
			late.start(away)
			late.expectPods(want)
			late.stop()
			if n := len(late.log.with("level=ERROR")); n > 0 {
				t.Error(late.log.buf.String())
			}
		}
	})
}

func slice(i, version int) *discoveryv1.EndpointSlice {
	ready := version%2 == 0
	s := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{
		Namespace: "ns", Name: fmt.Sprintf("service-%d-x7k2p", i), ResourceVersion: fmt.Sprint(version), UID: "0b94b8f2-9a6e-4b43-8a0e-6a4b24f0c6f1",
		Labels:          map[string]string{discoveryv1.LabelServiceName: fmt.Sprintf("service-%d", i), discoveryv1.LabelManagedBy: "endpointslice-controller.k8s.io"},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Service", Name: fmt.Sprintf("service-%d", i), UID: "0b94b8f2-9a6e-4b43-8a0e-6a4b24f0c6f2"}},
	}, AddressType: discoveryv1.AddressTypeIPv4}
	for e := range 2 {
		node := "node-1"
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{fmt.Sprintf("10.42.%d.%d", i%250, e)}, NodeName: &node, Conditions: discoveryv1.EndpointConditions{Ready: &ready},
			TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: "ns", Name: fmt.Sprintf("service-%d-7d9f8b5c4-abcde", i), UID: "0b94b8f2-9a6e-4b43-8a0e-6a4b24f0c6f3"},
		})
	}
	return s
}

// TestRollingEndpoints are written together, and heartbeats not at all.
func TestRollingEndpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t)
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n2", ResourceVersion: "1"}}
		s := newServer(node, slice(1, 0))
		b.start(s)
		time.Sleep(time.Minute)
		synctest.Wait()
		before := b.transactions()
		slices := discoveryv1.SchemeGroupVersion.WithResource("endpointslices")
		for i := range 100 {
			if err := s.Tracker().Update(slices, slice(1, i+1), "ns"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(200 * time.Millisecond)
		}
		time.Sleep(lazily)
		synctest.Wait()
		if n := b.transactions() - before; n < 3 || n > 5 {
			t.Errorf("%d writes for 100 changes in 20 s", n)
		}
		before = b.transactions()
		for i := range 20 {
			node = node.DeepCopy()
			node.ResourceVersion = fmt.Sprint(2 + i)
			node.Status.Images = []corev1.ContainerImage{{Names: []string{fmt.Sprint("image", i)}}}
			node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, LastHeartbeatTime: metav1.Now()}}
			if i == 0 {
				continue
			}
			if err := s.Tracker().Update(corev1.SchemeGroupVersion.WithResource("nodes"), node, ""); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		synctest.Wait()
		// The condition that is new.
		if n := b.transactions() - before; n != 1 {
			t.Errorf("%d writes for heartbeats", n)
		}
	})
}

// TestDiskThatFails is tried again, and said now and then.
func TestDiskThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t)
		b.open()
		fails := true
		b.store.put(slot{bucketConfig, "ns/x"}, soon, func() ([]byte, error) {
			if fails {
				return nil, os.ErrPermission
			}
			return []byte("value"), nil
		})
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if n := len(b.log.with("cannot write")); n < 4 || n > 5 {
			t.Errorf("%d lines in five minutes", n)
		}
		fails = false
		time.Sleep(lazily)
		synctest.Wait()
		if got, ok, err := b.store.file.get(slot{bucketConfig, "ns/x"}); string(got) != "value" || !ok || err != nil {
			t.Errorf("%q %v %v", got, ok, err)
		}
		if err := b.store.Close(); err != nil {
			t.Error(err)
		}
	})
}
