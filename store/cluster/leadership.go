package cluster

import (
	"context"
	"sync"
	"time"

	"skiff/store"
	"skiff/store/fsm"
)

// advanceBy is more than the number of volatile changes that a power cut can
// lose: raftlog.MaxUnsynced bytes of log, none of which holds a change in less
// than five.
const advanceBy = 100_000

// leadership tells whether this server leads and has applied all that earlier
// leaders acknowledged.
type leadership struct {
	notify <-chan bool

	mu     sync.Mutex
	ready  bool
	closed bool
	// changed is closed when ready or closed change.
	changed chan struct{}
}

func (l *leadership) init(notify <-chan bool) {
	l.notify = notify
	l.changed = make(chan struct{})
}

func (l *leadership) set(ready bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ready != ready {
		l.ready = ready
		l.signal()
	}
}

func (l *leadership) signal() {
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *leadership) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.signal()
}

func (l *leadership) state() (ready, closed bool, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ready, l.closed, l.changed
}

// wait returns when this server leads; store.ErrUnavailable after timeout.
func (l *leadership) wait(ctx context.Context, timeout time.Duration) error {
	ready, closed, changed := l.state()
	if closed {
		return store.ErrClosed
	}
	if ready {
		return nil
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			return store.ErrUnavailable
		}
		if ready, closed, changed = l.state(); closed {
			return store.ErrClosed
		} else if ready {
			return nil
		}
	}
}

// hasten has a voter that is alone elect itself at once: a changed timeout makes
// raft look whether it has heard of a leader, which it has not.
func (s *Store) hasten() {
	rc := s.raft.ReloadableConfig()
	rc.HeartbeatTimeout = leaderLease
	if err := s.raft.ReloadConfig(rc); err != nil {
		s.log.Warn("cannot hasten the election", "err", err)
	}
}

// watchLeadership follows raft's notifications until ctx ends.
func (s *Store) watchLeadership(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case leads := <-s.leadership.notify:
			if !leads {
				s.leadership.set(false)
				continue
			}
			s.takeOver(ctx)
		}
	}
}

// takeOver makes the state ready for linearizable reads and for writes.
func (s *Store) takeOver(ctx context.Context) {
	if err := s.raft.Barrier(0).Error(); err != nil {
		return // leadership is lost again, which is notified
	}
	if s.fsm.NeedsAdvance() && !s.advance() {
		return
	}
	if ctx.Err() == nil {
		s.leadership.set(true)
	}
}

// advance moves the revision past volatile changes that readers may have seen
// and that are lost with the power. Among several voters none are lost: there
// the log syncs them, too.
func (s *Store) advance() bool {
	if s.alone() {
		c := fsm.Command{Kind: fsm.KindAdvance, Revision: advanceBy}
		if err := s.raft.Apply(c.Encode(), 0).Error(); err != nil {
			s.log.Error("cannot move the revision past lost changes", "err", err)
			return false
		}
	}
	if err := s.fsm.Advanced(); err != nil {
		// The revision moves once more at the next start, which does no harm.
		s.log.Error("cannot note that the revision has moved past lost changes", "err", err)
	}
	return true
}
