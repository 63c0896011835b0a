package api

import (
	"context"
	"sync"
)

// streams are the watches under way, so that a shutdown can end them. A set of
// cancel functions costs a watch less than a context of two parents.
type streams struct {
	mu    sync.Mutex
	open  map[*context.CancelFunc]struct{}
	ended bool
}

func (s *streams) add(cancel *context.CancelFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		(*cancel)()
		return
	}
	if s.open == nil {
		s.open = map[*context.CancelFunc]struct{}{}
	}
	s.open[cancel] = struct{}{}
}

func (s *streams) remove(cancel *context.CancelFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, cancel)
}

func (s *streams) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	for cancel := range s.open {
		(*cancel)()
	}
}
