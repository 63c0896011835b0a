package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
)

const (
	// maxPending is how much a handler may be ahead of the reader of its response.
	maxPending = 1 << 20
	// keepPending is the largest buffer that an idle stream keeps.
	keepPending = 4 << 10
)

// response is both ends of a response in memory: the handler writes to it, the
// client reads from it. What is written is copied once, into a buffer that grows
// with what is pending and is let go when it is empty; nobody is woken that does
// not wait.
type response struct {
	ctx    context.Context
	cancel context.CancelFunc
	header http.Header
	// sent is the header as it was when it was written.
	sent http.Header
	code int
	// ready is closed when the response can be handed to the client: at the first
	// flush, at the latest when the handler returns.
	ready    chan struct{}
	panicked bool

	mu      sync.Mutex
	handed  bool
	pending []byte // what is written and not read is pending[read:]
	read    int
	done    bool
	closed  bool
	// data tells the reader that there is something, room the writer that there
	// is space.
	data chan struct{}
	room chan struct{}
}

var errReaderGone = errors.New("the reader of the response is gone")

// run calls the handler. The goroutine ends with it; the reader learns by EOF.
func (w *response) run(h http.Handler, r *http.Request) {
	defer func() {
		if p := recover(); p != nil {
			if p != http.ErrAbortHandler { //nolint:errorlint // as net/http compares it
				panic(p)
			}
			w.panicked = true
		}
		w.finish()
	}()
	h.ServeHTTP(w, r)
}

func (w *response) finish() {
	if r := w.ctx.Err(); r == nil && w.code == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done = true
	w.hand()
	wake(w.data)
	if w.unread() == 0 {
		w.cancel()
	}
}

func (w *response) unread() int { return len(w.pending) - w.read }

// hand lets RoundTrip return. The caller holds mu.
func (w *response) hand() {
	if !w.handed {
		w.handed = true
		close(w.ready)
	}
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Header implements http.ResponseWriter.
func (w *response) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *response) WriteHeader(code int) {
	if w.code != 0 || code < http.StatusOK {
		return
	}
	w.code = code
	w.sent = w.header.Clone()
}

// Write implements http.ResponseWriter.
func (w *response) Write(p []byte) (int, error) {
	if w.code == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.mu.Lock()
	for w.unread() > maxPending && !w.closed && w.handed {
		w.room = make(chan struct{})
		room := w.room
		w.mu.Unlock()
		select {
		case <-room:
		case <-w.ctx.Done():
			return 0, w.ctx.Err()
		}
		w.mu.Lock()
	}
	defer w.mu.Unlock()
	if w.closed {
		return 0, errReaderGone
	}
	w.pending = append(w.pending, p...)
	if w.unread() > maxPending {
		w.hand() // a large answer is read while it is made
	}
	if w.handed {
		wake(w.data)
	}
	return len(p), nil
}

// Flush implements http.Flusher.
func (w *response) Flush() {
	if w.code == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hand()
}

// Read implements io.Reader for the client.
func (w *response) Read(p []byte) (int, error) {
	for {
		w.mu.Lock()
		if w.unread() > 0 && !w.closed {
			n := w.take(p)
			w.mu.Unlock()
			return n, nil
		}
		done, closed := w.done, w.closed
		w.mu.Unlock()
		switch {
		case closed:
			return 0, http.ErrBodyReadAfterClose
		case done && w.panicked:
			return 0, io.ErrUnexpectedEOF
		case done:
			return 0, io.EOF
		}
		select {
		case <-w.data:
		case <-w.ctx.Done():
			if err := w.interrupted(); err != nil {
				return 0, err
			}
		}
	}
}

// interrupted returns the context's error unless the handler has finished, and
// only the rest is to be read.
func (w *response) interrupted() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done || w.unread() > 0 {
		return nil
	}
	return w.ctx.Err()
}

func (w *response) take(p []byte) int {
	n := copy(p, w.pending[w.read:])
	w.read += n
	if w.unread() == 0 {
		w.pending, w.read = w.pending[:0], 0
		if cap(w.pending) > keepPending {
			w.pending = nil
		}
		if w.done {
			w.cancel()
		}
	}
	if w.room != nil && w.unread() <= maxPending {
		close(w.room)
		w.room = nil
	}
	return n
}

// Close implements io.Closer for the client: the handler's context ends.
func (w *response) Close() error {
	w.mu.Lock()
	w.closed, w.pending = true, nil
	w.mu.Unlock()
	w.cancel()
	return nil
}
