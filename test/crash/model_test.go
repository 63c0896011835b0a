package crash

import (
	"fmt"
	"strings"
	"testing"
)

// change is what one revision is known to have done.
type change struct{ key, value string }

// model is what the clients were told, over all lives of the store.
type model struct {
	t *testing.T
	// changes by revision: a revision with two contents was reused.
	changes map[int64]change
	// acked is the last number that each writer had acknowledged.
	acked map[int]int
	// seen is the revision of each key as the watch has it, and after that of
	// the last event.
	seen  map[string]int64
	after int64
	state map[string]string
	ready bool

	acks, events, relists, resumes int
}

func newModel(t *testing.T) *model {
	return &model{t: t, changes: map[int64]change{}, acked: map[int]int{}, seen: map[string]int64{}, state: map[string]string{}}
}

// begin starts a new life.
func (m *model) begin() {
	m.state, m.ready = map[string]string{}, false
	m.resumes++
}

// line takes what a child reports. lossy tells that volatile changes may have
// been lost before this life.
func (m *model) line(line string, lossy bool) {
	kind, rest, _ := strings.Cut(line, " ")
	var key, value string
	var rev, prev int64
	switch kind {
	case "state":
		scan(m.t, rest, &key, &value, &rev)
		m.note(rev, key, value)
		m.state[key] = value
	case "ready":
		m.ready = true
		m.check(lossy)
	case "ack":
		scan(m.t, rest, &key, &value, &rev)
		m.note(rev, key, value)
		w, n := parse(value)
		m.acked[w] = max(m.acked[w], n)
		m.acks++
	case "event":
		scan(m.t, rest, &key, &value, &rev, &prev)
		m.event(key, value, rev, prev)
	case "relist":
		m.seen = map[string]int64{}
		m.relists++
		m.resumes--
	case "listed":
		scan(m.t, rest, &key, &value, &rev)
		m.seen[key] = rev
	case "relisted":
		scan(m.t, rest, &m.after)
	default:
		m.t.Errorf("child: %s", line)
	}
}

func scan(t *testing.T, s string, into ...any) {
	if _, err := fmt.Sscan(s, into...); err != nil {
		t.Fatalf("cannot read %q: %v", s, err)
	}
}

func (m *model) note(rev int64, key, value string) {
	c := change{key, value}
	if old, ok := m.changes[rev]; ok && old != c {
		m.t.Errorf("revision %d is %v and was %v", rev, c, old)
	}
	m.changes[rev] = c
}

// event asserts that the watch neither misses nor doubles a change: the one
// before it of the same key must be the last that was seen.
func (m *model) event(key, value string, rev, prev int64) {
	m.note(rev, key, value)
	m.events++
	if rev <= m.after {
		m.t.Errorf("event of revision %d comes after that of %d", rev, m.after)
	}
	if m.seen[key] != prev {
		m.t.Errorf("event of %s at revision %d follows %d, the one seen before is %d", key, rev, prev, m.seen[key])
	}
	m.seen[key], m.after = rev, rev
}

// check asserts that every acknowledged write is there: of each key the value
// is the last that was acknowledged, or of the write that was under way.
func (m *model) check(lossy bool) {
	for w, n := range m.acked {
		if lossy && volatile(w) {
			delete(m.acked, w)
			continue
		}
		for i := max(0, n-keysPerWriter+1); i <= n; i++ {
			key := keyOf(w, i)
			got, ok := m.state[key]
			if !ok {
				m.t.Errorf("%s is lost; %d.%d was acknowledged", key, w, i)
				continue
			}
			if _, have := parse(got); have != i && have != n+1 {
				m.t.Errorf("%s is %s; %d.%d was acknowledged", key, got, w, i)
			}
		}
	}
	// What was read must stay, just as what was acknowledged.
	for _, value := range m.state {
		w, n := parse(value)
		m.acked[w] = max(m.acked[w], n)
	}
}
