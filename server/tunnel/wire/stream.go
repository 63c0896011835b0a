package wire

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/yamux"
)

// frame is the most that one write sends at once, so that streams take turns on a
// slow line.
const frame = 16 << 10

// Stream is a yamux stream that ends as connections do.
type Stream struct {
	*yamux.Stream
	writing sync.Mutex // keeps the frames of one write together
	closed  atomic.Bool
}

// NewStream returns s as a connection.
func NewStream(s *yamux.Stream) *Stream { return &Stream{Stream: s} }

// Read reads. yamux ends the streams of a broken session as if all had been sent;
// here that is ErrLost.
func (s *Stream) Read(p []byte) (int, error) {
	if s.closed.Load() {
		return 0, net.ErrClosed
	}
	n, err := s.Stream.Read(p)
	if err == nil {
		return n, nil
	}
	return n, s.known(err)
}

// Write writes frame by frame.
func (s *Stream) Write(p []byte) (written int, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	for {
		part := p[:min(len(p), frame)]
		n, err := s.Stream.Write(part)
		written += n
		if err != nil {
			return written, s.known(err)
		}
		if p = p[len(part):]; len(p) == 0 {
			return written, nil
		}
	}
}

// CloseWrite tells the other end that all is sent. What it sends can be read on.
func (s *Stream) CloseWrite() error { return s.Stream.Close() }

// Close ends both directions: who waits in Read or Write gets net.ErrClosed.
func (s *Stream) Close() error {
	s.closed.Store(true)
	err := s.CloseWrite()
	_ = s.SetDeadline(Past) // never fails
	return err
}

// known gives errors the meaning that callers of net.Conn look for.
func (s *Stream) known(err error) error {
	switch {
	case err == nil:
		return nil
	case s.closed.Load():
		return net.ErrClosed
	case s.Session().IsClosed(), errors.Is(err, yamux.ErrConnectionWriteTimeout):
		return ErrLost
	case isTimeout(err):
		return os.ErrDeadlineExceeded
	}
	return err
}
