// Package latch waits until several parts of something have come up.
//
//	up := latch.New(2)
//	go a.Run(ctx, up.Done) // calls it once
//	go b.Run(ctx, up.Done)
//	err := up.Wait(ctx)
package latch

import (
	"context"
	"sync/atomic"
)

// Latch opens when Done has been called as often as New said.
type Latch struct {
	left atomic.Int64
	open chan struct{}
}

// New returns a latch for n parts, at least one.
func New(n int) *Latch {
	l := &Latch{open: make(chan struct{})}
	l.left.Store(int64(n))
	return l
}

// Done tells that one more part has come up. It panics if all had.
func (l *Latch) Done() {
	switch left := l.left.Add(-1); {
	case left == 0:
		close(l.open)
	case left < 0:
		panic("latch: more parts than it was made for")
	}
}

// Wait returns when all parts have come up, or the error of ctx once that ends.
func (l *Latch) Wait(ctx context.Context) error {
	select {
	case <-l.open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
