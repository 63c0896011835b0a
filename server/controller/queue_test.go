package controller

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"
)

// recorder collects the keys that a queue processes, with the time of each.
type recorder struct {
	mu   sync.Mutex
	keys []string
	at   []time.Time
	hold chan struct{}
}

func (r *recorder) process(key string) {
	r.mu.Lock()
	r.keys = append(r.keys, key)
	r.at = append(r.at, time.Now())
	r.mu.Unlock()
	if r.hold != nil {
		<-r.hold
	}
}

func (r *recorder) got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.keys)
}

func TestQueueWaitsForBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		q := newQueue(clock.RealClock{}, 2, r.process)
		defer q.shutDown()
		q.add("a")
		synctest.Wait()
		if got := r.got(); len(got) != 0 {
			t.Fatalf("processed %v before begin", got)
		}
		q.begin()
		synctest.Wait()
		if got := r.got(); !slices.Equal(got, []string{"a"}) {
			t.Errorf("got %v", got)
		}
	})
}

func TestQueueBeginsWithAllWorkersThatItNeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{hold: make(chan struct{})}
		q := newQueue(clock.RealClock{}, 3, r.process)
		for _, k := range []string{"a", "b", "c", "d"} {
			q.add(k)
		}
		q.begin()
		synctest.Wait()
		if got := r.got(); len(got) != 3 {
			t.Errorf("%d keys run at a time, want 3", len(got))
		}
		close(r.hold)
		q.shutDown()
	})
}

func TestQueueRunsAKeyOnceAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{hold: make(chan struct{})}
		q := newQueue(clock.RealClock{}, 4, r.process)
		q.begin()
		for range 3 {
			q.add("a") // the first is taken at once, the others become one
			synctest.Wait()
		}
		if got := r.got(); len(got) != 1 {
			t.Fatalf("a key runs %d times at once", len(got))
		}
		r.hold <- struct{}{}
		synctest.Wait()
		if got := r.got(); len(got) != 2 {
			t.Fatalf("a key that was added while it ran was run %d times in all", len(got))
		}
		close(r.hold)
		q.shutDown()
	})
}

func TestQueueBoundsWorkersAndEndsThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{hold: make(chan struct{})}
		q := newQueue(clock.RealClock{}, 2, r.process)
		q.begin()
		for _, k := range []string{"a", "b", "c", "d"} {
			q.add(k)
		}
		synctest.Wait()
		if got := r.got(); len(got) != 2 {
			t.Errorf("%d keys run at a time, want 2", len(got))
		}
		close(r.hold)
		synctest.Wait()
		if got := r.got(); len(got) != 4 {
			t.Errorf("ran %v", got)
		}
		q.mu.Lock()
		workers := q.workers
		q.mu.Unlock()
		if workers != 0 {
			t.Errorf("%d workers are left", workers)
		}
		q.shutDown()
	})
}

func TestQueueDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		q := newQueue(clock.RealClock{}, 1, r.process)
		defer q.shutDown()
		q.begin()
		begin := time.Now()
		q.addAfter("late", time.Hour)
		q.addAfter("early", time.Minute)
		q.addAfter("late", 2*time.Hour) // the earlier time stays
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if got := r.got(); !slices.Equal(got, []string{"early", "late"}) {
			t.Fatalf("got %v", got)
		}
		for i, want := range []time.Duration{time.Minute, time.Hour} {
			if d := r.at[i].Sub(begin); d != want {
				t.Errorf("%s after %v, want %v", r.keys[i], d, want)
			}
		}
	})
}

func TestReconcileReplacesItsDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		q := newQueue(clock.RealClock{}, 1, r.process)
		defer q.shutDown()
		q.begin()
		q.addAfter("a", time.Hour)
		q.add("a")
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if got := r.got(); len(got) != 1 {
			t.Errorf("a ran %d times: its delay outlived a later run", len(got))
		}
	})
}

func TestRetryBacksOff(t *testing.T) {
	q := newQueue(clock.RealClock{}, 1, func(string) {})
	var last time.Duration
	for range 40 {
		d := q.retry("a")
		if d < last || d > lastRetry {
			t.Fatalf("%v after %v", d, last)
		}
		last = d
	}
	if last != lastRetry {
		t.Errorf("ends at %v", last)
	}
	q.forget("a")
	if d := q.retry("a"); d != firstRetry {
		t.Errorf("begins at %v after a success", d)
	}
	q.shutDown()
}
