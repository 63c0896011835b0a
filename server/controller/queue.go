package controller

import (
	"container/heap"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// Back-off of a key whose reconcile failed: doubles from the first to the last.
const (
	firstRetry = 5 * time.Millisecond
	lastRetry  = 5 * time.Minute
)

// queue holds the keys that are due, once each, and runs process on them in up to
// max goroutines that exist only while there is work. It differs from client-go's
// workqueue, which keeps two goroutines and a ticker per queue for ever.
type queue struct {
	clock   clock.WithDelayedExecution
	process func(key string)
	max     int

	mu      sync.Mutex
	fifo    []string
	dirty   map[string]time.Time // waiting in fifo, or to be queued again when done; since when
	active  map[string]time.Time // in process, since when
	delayed delayHeap
	byKey   map[string]*delay
	fails   map[string]int
	timer   clock.Timer
	timerAt time.Time
	workers int
	begun   bool
	closed  bool
	counted counts
	wg      sync.WaitGroup
}

func newQueue(c clock.WithDelayedExecution, max int, process func(string)) *queue {
	return &queue{
		clock: c, max: max, process: process,
		dirty: map[string]time.Time{}, active: map[string]time.Time{},
		byKey: map[string]*delay{}, fails: map[string]int{}, counted: newCounts(),
	}
}

// begin lets the workers start, for all that has come meanwhile.
func (q *queue) begin() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.begun = true
	for range min(q.max, len(q.fifo)) {
		q.spawn()
	}
}

// shutDown drops what waits and waits for what is in process.
func (q *queue) shutDown() {
	q.mu.Lock()
	q.closed = true
	q.fifo = nil
	if q.timer != nil {
		q.timer.Stop()
	}
	q.mu.Unlock()
	q.wg.Wait()
}

func (q *queue) add(key string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.addLocked(key)
}

func (q *queue) addLocked(key string) {
	if _, waits := q.dirty[key]; waits || q.closed {
		return
	}
	q.dirty[key] = q.clock.Now()
	q.counted.adds++
	if _, runs := q.active[key]; runs {
		return // done will queue it
	}
	q.fifo = append(q.fifo, key)
	q.spawn()
}

// addAfter queues key after d, or earlier if an earlier time is already set.
func (q *queue) addAfter(key string, d time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	at := q.clock.Now().Add(d)
	if e := q.byKey[key]; e != nil {
		if !at.Before(e.at) {
			return
		}
		e.at = at
		heap.Fix(&q.delayed, e.index)
	} else {
		e := &delay{key: key, at: at}
		q.byKey[key] = e
		heap.Push(&q.delayed, e)
	}
	q.arm()
}

// retry queues key after its back-off, which it returns.
func (q *queue) retry(key string) time.Duration {
	q.mu.Lock()
	n := q.fails[key]
	q.fails[key] = n + 1
	q.counted.retries++
	q.mu.Unlock()
	d := lastRetry
	if n < 16 {
		d = min(firstRetry<<n, lastRetry)
	}
	q.addAfter(key, d)
	return d
}

func (q *queue) forget(key string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.fails, key)
}

// spawn starts a worker if one is needed and allowed.
func (q *queue) spawn() {
	if q.begun && !q.closed && q.workers < q.max && q.workers-len(q.active) < len(q.fifo) {
		q.workers++
		q.wg.Go(q.work)
	}
}

func (q *queue) work() {
	for {
		key, ok := q.next()
		if !ok {
			return
		}
		q.process(key)
		q.done(key)
	}
}

func (q *queue) next() (string, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.fifo) == 0 || q.closed {
		q.workers--
		q.fifo = nil // frees what a burst made it grow to
		return "", false
	}
	key := q.fifo[0]
	q.fifo = q.fifo[1:]
	now := q.clock.Now()
	q.counted.waited.Observe(now.Sub(q.dirty[key]))
	delete(q.dirty, key)
	q.active[key] = now
	if e := q.byKey[key]; e != nil { // this reconcile says anew when the next is due
		heap.Remove(&q.delayed, e.index)
		delete(q.byKey, key)
	}
	return key, true
}

func (q *queue) done(key string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.counted.worked.Observe(q.clock.Since(q.active[key]))
	delete(q.active, key)
	if _, again := q.dirty[key]; again {
		q.fifo = append(q.fifo, key)
		q.spawn()
	}
}

// arm sets the timer to the earliest delayed key.
func (q *queue) arm() {
	if len(q.delayed) == 0 || q.closed {
		return
	}
	at := q.delayed[0].at
	if q.timer != nil {
		if !q.timerAt.After(at) && !q.timerAt.IsZero() {
			return // it fires early enough and re-arms itself
		}
		q.timer.Stop()
	}
	q.timerAt = at
	q.timer = q.clock.AfterFunc(at.Sub(q.clock.Now()), q.due)
}

// due moves the delayed keys whose time has come into the queue.
func (q *queue) due() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.timerAt = time.Time{}
	now := q.clock.Now()
	for len(q.delayed) > 0 && !q.delayed[0].at.After(now) {
		e := heap.Pop(&q.delayed).(*delay)
		delete(q.byKey, e.key)
		q.addLocked(e.key)
	}
	q.arm()
}

type delay struct {
	key   string
	at    time.Time
	index int
}

type delayHeap []*delay

func (h delayHeap) Len() int           { return len(h) }
func (h delayHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h delayHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *delayHeap) Push(x any) {
	e := x.(*delay)
	e.index = len(*h)
	*h = append(*h, e)
}

func (h *delayHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return e
}
