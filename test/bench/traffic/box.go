package traffic

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// box is a network namespace that lives as long as the thread that is in it.
type box struct {
	work chan func()
	tid  int
}

func newBox() (*box, error) {
	b := &box{work: make(chan func())}
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		b.tid = unix.Gettid()
		err := errors.Join(os.NewSyscallError("unshare", unix.Unshare(unix.CLONE_NEWNET)), uninterrupted())
		made <- err
		if err != nil {
			return
		}
		for f := range b.work {
			f()
		}
	}()
	if err := <-made; err != nil {
		return nil, fmt.Errorf("make a network namespace: %w", err)
	}
	return b, nil
}

// uninterrupted keeps the signals off this thread by which Go's scheduler takes
// threads from goroutines: they would end system calls that have a timeout.
func uninterrupted() error {
	var set unix.Sigset_t
	set.Val[0] = 1 << (unix.SIGURG - 1)
	return os.NewSyscallError("sigmask", unix.PthreadSigmask(unix.SIG_BLOCK, &set, nil))
}

// do runs f in the namespace. Goroutines that f starts are not there, but sockets
// that it opens are.
func (b *box) do(f func() error) error {
	done := make(chan error)
	b.work <- func() { done <- f() }
	return <-done
}

func (b *box) close() { close(b.work) }
