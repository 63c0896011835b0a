package fsm

import (
	"log/slog"
	"sync"
)

// flusher writes frozen tables to the state file, beside the applier.
type flusher struct {
	back   *backend
	logger *slog.Logger
	kick   chan struct{}
	done   sync.WaitGroup

	mu   sync.Mutex
	idle *sync.Cond
	// busy tells that the frozen table, which ends at pos, is not written yet.
	busy bool
	pos  position
	err  error
}

func (f *flusher) start(back *backend, logger *slog.Logger) {
	f.back, f.logger = back, logger
	f.idle = sync.NewCond(&f.mu)
	f.busy, f.err = false, nil
	f.kick = make(chan struct{}, 1)
	f.done.Go(func() {
		for range f.kick {
			f.write()
		}
	})
}

func (f *flusher) write() {
	f.mu.Lock()
	pos, busy, failed := f.pos, f.busy, f.err != nil
	f.mu.Unlock()
	if !busy {
		return
	}
	err := f.back.flush(pos)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.busy, f.err = err != nil, err
	f.idle.Broadcast()
	if err != nil && !failed {
		f.logger.Warn("the store's state file cannot be written; trying again with the next write", "err", err)
	}
}

// begin hands the active table, which ends at pos, to the writer; false if the
// last one is not written yet.
func (f *flusher) begin(pos position) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.busy || !f.back.freeze() {
		return false
	}
	f.busy, f.pos = true, pos
	f.poke()
	return true
}

func (f *flusher) poke() {
	select {
	case f.kick <- struct{}{}:
	default:
	}
}

// wait returns when the last table has been written, or could not be.
func (f *flusher) wait() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.busy && f.err == nil {
		f.idle.Wait()
	}
}

// check returns why the last table could not be written, and has it tried again.
func (f *flusher) check() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		f.poke()
	}
	return f.err
}

// stop ends the writer.
func (f *flusher) stop() {
	close(f.kick)
	f.done.Wait()
}

// unfinished returns the position of a table that could not be written.
func (f *flusher) unfinished() (position, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.pos, f.busy
}
