// Package dirwatch tells of the files of a folder that users and other programs
// put things into, when they are complete: closed after writing, or renamed into
// place.
//
//	w, err := dirwatch.New(dir, dirwatch.Written|dirwatch.Removed)
//	for {
//		names, err := w.Next()	// waits; then look at the folder
//	}
//
// It uses inotify itself, because portable libraries hide the one event that says
// that a file was closed after writing.
package dirwatch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Event is a kind of change, or a set of them.
type Event uint32

const (
	// Written is a file that was closed after writing, or renamed into the folder.
	Written Event = unix.IN_CLOSE_WRITE | unix.IN_MOVED_TO
	// Removed is a file that was deleted, or renamed out of the folder.
	Removed Event = unix.IN_DELETE | unix.IN_MOVED_FROM
	// Created is any new name: links are complete as soon as they are there, a
	// file that is about to be written is not.
	Created Event = unix.IN_CREATE
)

// ErrGone is returned once the folder itself was removed, renamed or unmounted.
var ErrGone = errors.New("the folder was removed")

// Watch watches one folder; what is below its subfolders is not seen.
type Watch struct{ file *os.File }

// New watches a folder, which must exist. Look at the folder after that, and
// nothing is missed.
func New(dir string, events Event) (*Watch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", dir, err)
	}
	f := os.NewFile(uintptr(fd), "inotify")
	if _, err := unix.InotifyAddWatch(fd, dir, uint32(events)|unix.IN_MOVE_SELF|unix.IN_ONLYDIR); err != nil {
		f.Close()
		return nil, fmt.Errorf("watch %s: %w", dir, err)
	}
	return &Watch{f}, nil
}

// Next waits for changes and returns their files' names. An empty name stands for
// changes that got lost in a flood of them: any file may have changed. After
// Close the error is os.ErrClosed.
func (w *Watch) Next() ([]string, error) {
	var buf [4096]byte
	n, err := w.file.Read(buf[:])
	if err != nil {
		return nil, err
	}
	var names []string
	for rest := buf[:n]; len(rest) >= unix.SizeofInotifyEvent; {
		mask, size := binary.NativeEndian.Uint32(rest[4:]), binary.NativeEndian.Uint32(rest[12:])
		if mask&(unix.IN_IGNORED|unix.IN_MOVE_SELF|unix.IN_UNMOUNT) != 0 {
			return nil, ErrGone
		}
		name := rest[unix.SizeofInotifyEvent : unix.SizeofInotifyEvent+size]
		names = append(names, string(bytes.TrimRight(name, "\x00")))
		rest = rest[unix.SizeofInotifyEvent+size:]
	}
	return names, nil
}

// Close ends a Next that waits.
func (w *Watch) Close() error { return w.file.Close() }

// BeingWritten tells whether some process has the open file, which must be open
// for reading only, open for writing: what was read from it may be half of it.
// Where that cannot be found out (on network file systems, say) it is false.
func BeingWritten(f *os.File) bool {
	conn, err := f.SyscallConn()
	if err != nil {
		return false
	}
	busy := false
	// A read lease is granted only while nobody writes; it is given back at once.
	_ = conn.Control(func(fd uintptr) {
		_, err := unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_RDLCK)
		if busy = errors.Is(err, unix.EAGAIN); err == nil {
			_, _ = unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_UNLCK)
		}
	})
	return busy
}
