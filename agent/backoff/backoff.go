// Package backoff counts how long to wait before something that fails is tried
// again: doubling from an initial delay up to a maximum, and forgotten after
// twice the maximum of peace.
package backoff

import (
	"sync"
	"time"
)

// Backoff keeps a delay per key. It is safe for concurrent use.
type Backoff struct {
	initial, maximum time.Duration

	mu      sync.Mutex
	entries map[string]entry
}

type entry struct {
	delay time.Duration
	last  time.Time
}

// New returns a Backoff that starts at initial and ends at maximum.
func New(initial, maximum time.Duration) *Backoff {
	return &Backoff{initial: initial, maximum: maximum, entries: map[string]entry{}}
}

// Remaining returns how long to wait yet, if the last failure was at since and
// now is now; 0 if the key may be tried. The zero since means the last Next.
func (b *Backoff) Remaining(key string, since, now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.entries[key]
	if !ok || b.expired(e, since, now) {
		return 0
	}
	if since.IsZero() {
		since = e.last
	}
	return max(0, e.delay-now.Sub(since))
}

// Delay returns the key's present delay.
func (b *Backoff) Delay(key string) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.entries[key].delay
}

// Next counts one more failure, or attempt, at since; the zero since means now.
func (b *Backoff) Next(key string, since, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.entries[key]
	if !ok || b.expired(e, since, now) {
		e = entry{delay: b.initial}
	} else {
		e.delay = min(2*e.delay, b.maximum)
	}
	e.last = now
	b.entries[key] = e
}

// expired tells whether there was peace for so long that the entry is void.
func (b *Backoff) expired(e entry, since, now time.Time) bool {
	if since.IsZero() {
		since = now
	}
	return since.Sub(e.last) > 2*b.maximum
}

// Forget drops a key.
func (b *Backoff) Forget(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.entries, key)
}

// ForgetPrefix drops all keys that start with prefix.
func (b *Backoff) ForgetPrefix(prefix string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key := range b.entries {
		if len(key) >= len(prefix) && key[:len(prefix)] == prefix {
			delete(b.entries, key)
		}
	}
}
