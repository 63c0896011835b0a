package offline

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// How long a change waits for others to be written with. Pods, and what their
// containers need, are written before a container could start; what changes with
// every pod of the cluster is not worth a write each to a flash card.
const (
	soon   = 50 * time.Millisecond
	lazily = 5 * time.Second
	// chunk bounds the bytes of one transaction, which are in memory while it lasts.
	chunk = 1 << 20
)

// encoder returns what a slot is to hold, nil for nothing. It is called when it is
// written, so that what has changed several times is encoded once, and nothing is
// held twice.
type encoder func() ([]byte, error)

// put has a slot written before long.
func (s *Store) put(at slot, wait time.Duration, enc encoder) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mark(at, enc, wait)
}

// mark is put with the lock held.
func (s *Store) mark(at slot, enc encoder, wait time.Duration) {
	if s.closed {
		return
	}
	s.dirty[at] = enc
	if due := time.Now().Add(wait); s.due.IsZero() || due.Before(s.due) {
		s.due = due
		s.timer.Reset(wait)
	}
}

func (s *Store) flushDue() {
	if err := s.flush(); err != nil && s.unwritten.Due(sayEvery) {
		s.log.Warn("cannot write what this node must know when the server is away; trying again", "file", s.file.path, "err", err)
	}
}

// flush writes all that is dirty: in one transaction what belongs to pods, then the
// rest in pieces, then what tells that it is complete.
func (s *Store) flush() error {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	s.mu.Lock()
	dirty := s.dirty
	s.dirty, s.due = map[slot]encoder{}, time.Time{}
	s.mu.Unlock()
	var pods, rest, marks []slot
	for at := range dirty {
		switch {
		case at.bucket == bucketMeta:
			marks = append(marks, at)
		case at.bucket.ofPods():
			pods = append(pods, at)
		default:
			rest = append(rest, at)
		}
	}
	err := s.write(pods, dirty, math.MaxInt)
	if err == nil {
		err = s.write(rest, dirty, chunk)
	}
	if err == nil {
		err = s.write(marks, dirty, chunk)
	}
	if err != nil {
		s.putBack(dirty)
	}
	return err
}

// write writes slots in transactions of about limit bytes, in the order of the file so
// that neighbours are written together.
func (s *Store) write(slots []slot, dirty map[slot]encoder, limit int) error {
	slices.SortFunc(slots, func(a, b slot) int {
		return cmp.Or(cmp.Compare(a.bucket, b.bucket), cmp.Compare(a.key, b.key))
	})
	var changes []change
	size := 0
	for i, at := range slots {
		value, err := dirty[at]()
		if err != nil {
			return fmt.Errorf("encode %s: %w", at, err)
		}
		changes, size = append(changes, change{at, value}), size+len(value)
		if size < limit && i < len(slots)-1 {
			continue
		}
		if err := s.file.write(changes); err != nil {
			return err
		}
		changes, size = changes[:0], 0
	}
	return nil
}

// putBack has slots that could not be written tried again, unless they have changed.
func (s *Store) putBack(dirty map[slot]encoder) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for at, enc := range dirty {
		if _, newer := s.dirty[at]; !newer {
			s.mark(at, enc, lazily)
		}
	}
}
