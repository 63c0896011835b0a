package images

import (
	"bytes"
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"
)

// dirWatch tells of files that are complete. It uses inotify itself, because
// portable libraries hide the one event that says so: closed after writing.
type dirWatch struct{ file *os.File }

func watchDir(dir string) (*dirWatch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "inotify")
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_CLOSE_WRITE|unix.IN_MOVED_TO|unix.IN_ONLYDIR); err != nil {
		f.Close()
		return nil, err
	}
	return &dirWatch{f}, nil
}

// next waits, and returns the names of files that were completed.
func (w *dirWatch) next() ([]string, error) {
	buf := make([]byte, 4096)
	n, err := w.file.Read(buf)
	if err != nil {
		return nil, err
	}
	var names []string
	for buf = buf[:n]; len(buf) >= unix.SizeofInotifyEvent; {
		size := binary.NativeEndian.Uint32(buf[12:])
		name := buf[unix.SizeofInotifyEvent : unix.SizeofInotifyEvent+size]
		names = append(names, string(bytes.TrimRight(name, "\x00")))
		buf = buf[unix.SizeofInotifyEvent+size:]
	}
	return names, nil
}

func (w *dirWatch) Close() error { return w.file.Close() }
