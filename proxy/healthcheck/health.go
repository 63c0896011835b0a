package healthcheck

import (
	"sync"
	"time"
)

// Timeout is how long a change may wait to be carried out before the proxy
// counts as unhealthy.
const Timeout = time.Minute

// Health knows whether the rules in force are those that the cluster wants. The
// zero value is that of a proxy that starts: healthy.
type Health struct {
	mu sync.Mutex
	// pending is since when a change waits, zero if none does.
	pending time.Time
	updated time.Time
	// leaving says that the node is about to be removed.
	leaving bool
}

// Queued tells that there is a change to carry out.
func (h *Health) Queued() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.pending.IsZero() {
		h.pending = time.Now()
	}
}

// Updated tells that all changes have been carried out.
func (h *Health) Updated() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pending, h.updated = time.Time{}, time.Now()
}

// SetLeaving tells whether the node is about to be removed, and should get no
// more traffic.
func (h *Health) SetLeaving(leaving bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.leaving = leaving
}

// Healthy tells whether no change waits for too long.
func (h *Health) Healthy() bool { return h.state().healthy }

type state struct {
	healthy, leaving bool
	updated, now     time.Time
}

func (h *Health) state() state {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	return state{
		healthy: h.pending.IsZero() || now.Sub(h.pending) < Timeout,
		leaving: h.leaving, updated: h.updated, now: now,
	}
}
