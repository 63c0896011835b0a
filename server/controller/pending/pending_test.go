package pending_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"skiff/server/controller/pending"
)

type store string

func (s *store) LastStoreSyncResourceVersion() string { return string(*s) }

func TestSynced(t *testing.T) {
	for _, c := range []struct {
		wrote []string
		store string
		want  bool
	}{
		{nil, "", true},
		{[]string{"5"}, "", false},
		{[]string{"5"}, "4", false},
		{[]string{"5"}, "5", true},
		{[]string{"9"}, "10", true}, // numbers, not text
		{[]string{"5", "12", "7"}, "11", false},
		{[]string{"5", "12", "7"}, "12", true},
	} {
		s := store(c.store)
		tr := pending.New(&s)
		for _, w := range c.wrote {
			tr.Wrote("k", w)
		}
		if got := tr.Synced("k"); got != c.want {
			t.Errorf("wrote %v, store at %q: synced %v", c.wrote, c.store, got)
		}
		if !tr.Synced("other") {
			t.Error("another key is not synced")
		}
	}
}

func pod(uid string, deleting bool) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: types.UID(uid)}}
	if deleting {
		p.DeletionTimestamp = &metav1.Time{}
	}
	return p
}

func TestSplit(t *testing.T) {
	var s store
	tr := pending.New(&s)
	tr.Deleted("k", "a")
	tr.Deleted("k", "gone")
	there, going := pending.Split(tr, "k", []*corev1.Pod{pod("a", false), pod("b", false)})
	if len(there) != 1 || there[0].UID != "b" || len(going) != 1 || going[0].UID != "a" {
		t.Fatalf("there %v, going %v", there, going)
	}
	// Once the store shows it, it is forgotten.
	there, going = pending.Split(tr, "k", []*corev1.Pod{pod("a", true), pod("b", false)})
	if len(there) != 2 || len(going) != 0 {
		t.Fatalf("there %v, going %v", there, going)
	}
	if there, _ = pending.Split(tr, "k", []*corev1.Pod{pod("gone", false)}); len(there) != 1 {
		t.Error("a deletion that the store has seen is still remembered")
	}
}
