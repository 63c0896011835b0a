package resident

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

const (
	// interval is how far apart collections are at least, unless the heap doubles
	// sooner.
	interval = 10 * time.Second
	// most is Go's own choice: as much room again as there is to look through.
	most = 100
	// least bounds what collections cost where the heap is large.
	least = 20
)

// Pace lets the heap have room for what is allocated in the next seconds, and not
// for as much again as is in use: after a burst, as of a thousand nodes that join, a
// server that is at rest would keep twice what it needs. Who allocates fast gets what
// Go gives by default. At rest nothing ticks. A GOGC that the user has set is left alone.
func Pace() {
	if os.Getenv("GOGC") == "" {
		p := &pacer{percent: most, set: func(percent int) { debug.SetGCPercent(percent) }, read: readHeap, release: debug.FreeOSMemory}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.at, p.seen = time.Now(), p.read()
		p.again = time.AfterFunc(interval, p.calm)
		p.watch()
	}
}

// heap is what the collector knows.
type heap struct {
	// allocated is the sum of all that ever was.
	allocated uint64
	// base is what a collection looks through, and what a percent is of.
	base uint64
}

// pacer sets the collector's percentage after each collection, and again while the
// last one was long ago.
type pacer struct {
	set     func(percent int)
	read    func() heap
	release func()

	mu      sync.Mutex
	percent int
	at      time.Time
	seen    heap
	again   *time.Timer
}

// mark is an object that the next collection finds unused.
type mark struct{ p *pacer }

func (p *pacer) watch() { runtime.AddCleanup(&mark{p}, (*pacer).collected, p) }

func (p *pacer) collected() {
	p.watch()
	p.adjust()
}

// calm is called when there was no collection for an interval. What a burst has left
// is handed back at once when it is over: by itself that takes minutes.
func (p *pacer) calm() {
	if p.adjust() == least {
		p.release()
	}
}

func (p *pacer) adjust() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, seen := time.Now(), p.read()
	percent := percentFor(seen.allocated-p.seen.allocated, now.Sub(p.at), seen.base)
	p.at, p.seen = now, seen
	if percent != p.percent {
		p.percent = percent
		p.set(percent)
	}
	if percent > least {
		p.again.Reset(interval) // it may be long until the next collection
	}
	return percent
}

// percentFor returns the room, in percent of base, for what is allocated in an
// interval by who allocated so much in that time.
func percentFor(allocated uint64, in time.Duration, base uint64) int {
	if in <= 0 || base == 0 {
		return most
	}
	room := float64(allocated) * float64(interval) / float64(in)
	return int(min(most, max(least, 100*room/float64(base))))
}

func readHeap() heap {
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"},
	}
	metrics.Read(samples)
	var h heap
	for i, s := range samples {
		switch {
		case s.Value.Kind() != metrics.KindUint64: // a Go that does not tell
		case i == 0:
			h.allocated = s.Value.Uint64()
		default:
			h.base += s.Value.Uint64()
		}
	}
	return h
}
