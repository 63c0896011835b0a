package backoff

import (
	"sync"
	"time"
)

// Seldom lets through what is said of something that goes on: once per period, such
// as once a minute that a server does not answer. The zero value is ready for use
// and safe for concurrent use.
type Seldom struct {
	mu   sync.Mutex
	last time.Time
}

// Due tells whether the period has passed since it last said so.
func (s *Seldom) Due(period time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.last.IsZero() && time.Since(s.last) < period {
		return false
	}
	s.last = time.Now()
	return true
}
