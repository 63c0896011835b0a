package resident

import (
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestPercentFor(t *testing.T) {
	const mib = 1 << 20
	for _, tt := range []struct {
		name      string
		allocated uint64
		in        time.Duration
		base      uint64
		want      int
	}{
		{"at rest", 1 * mib, time.Minute, 20 * mib, least},
		{"a steady load", 10 * mib, 10 * time.Second, 20 * mib, 50},
		{"the same, seen for longer", 60 * mib, time.Minute, 20 * mib, 50},
		{"a burst", 100 * mib, time.Second, 20 * mib, most},
		{"no time", 100 * mib, 0, 20 * mib, most},
		{"before the first collection", mib, time.Second, 0, most},
	} {
		if got := percentFor(tt.allocated, tt.in, tt.base); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
		}
	}
}

// TestCalm: after a burst the room shrinks without another collection, what is free
// is handed back once, and then nothing is looked at any more.
func TestCalm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var set []int
		looked, released := 0, 0
		now := heap{base: 100 << 20}
		p := &pacer{percent: least, at: time.Now(), seen: now, set: func(percent int) { set = append(set, percent) }}
		p.read = func() heap { looked++; return now }
		p.release = func() { released++ }
		p.again = time.AfterFunc(time.Hour, p.calm)
		time.Sleep(time.Second)
		now.allocated += 100 << 20
		p.adjust()
		time.Sleep(interval + time.Second)
		synctest.Wait()
		if want := []int{most, least}; !slices.Equal(set, want) {
			t.Errorf("set to %v, want %v", set, want)
		}
		before := looked
		time.Sleep(time.Hour)
		synctest.Wait()
		if looked != before || released != 1 {
			t.Errorf("looked %d times at rest, handed back %d times", looked-before, released)
		}
	})
}

// TestCollected: each collection is noticed.
func TestCollected(t *testing.T) {
	looked := make(chan struct{}, 100)
	p := &pacer{percent: most, at: time.Now(), set: func(int) {}}
	p.read = func() heap {
		looked <- struct{}{}
		return heap{}
	}
	p.again = time.AfterFunc(time.Hour, p.calm)
	defer p.again.Stop()
	p.watch()
	for range 3 {
		for done := false; !done; {
			runtime.GC()
			select {
			case <-looked:
				done = true
			case <-time.After(10 * time.Millisecond): // the cleanup is queued by the sweeper
			}
		}
	}
}

func TestReadHeap(t *testing.T) {
	runtime.GC()
	if h := readHeap(); h.allocated == 0 || h.base == 0 || h.base > h.allocated+1<<30 {
		t.Errorf("%+v", h)
	}
}
