package logs

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Options choose what Read returns.
type Options struct {
	// Since leaves out earlier lines, unless it is zero.
	Since time.Time
	// Tail returns only that many lines at the end; negative is all.
	Tail int64
	// LimitBytes ends after that many bytes; negative or 0 is no limit.
	LimitBytes int64
	Timestamps bool
	// Follow goes on with what is written later, until Running is false.
	Follow bool
	// Running tells whether the container still runs.
	Running func() bool
}

// Read writes a container's log to stdout and stderr by stream. A nil writer
// leaves out its stream.
func Read(ctx context.Context, path string, opts Options, stdout, stderr io.Writer) error {
	w := &writer{opts: opts, stdout: stdout, stderr: stderr, left: opts.LimitBytes}
	all := files(path)
	if len(all) == 0 && !opts.Follow {
		return fmt.Errorf("open log: %w", &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist})
	}
	from := 0
	skip := int64(0)
	if opts.Tail >= 0 {
		var err error
		if from, skip, err = start(all, opts.Tail); err != nil {
			return err
		}
	}
	var last *follower
	for i := from; i < len(all); i++ {
		if all[i] == path && opts.Follow {
			break
		}
		if err := w.copyFile(all[i], &skip); err != nil {
			return ended(err)
		}
	}
	if opts.Follow {
		last = &follower{path: path, w: w, skip: skip, running: opts.Running}
		return ended(last.run(ctx))
	}
	return nil
}

// errLimit tells that LimitBytes were written.
var errLimit = errors.New("limit of bytes reached")

func ended(err error) error {
	if errors.Is(err, errLimit) {
		return nil
	}
	return err
}

// start finds in which file, and after how many lines of it, the last n lines
// begin.
func start(all []string, n int64) (file int, skip int64, err error) {
	if n == 0 {
		if len(all) == 0 {
			return 0, 0, nil
		}
		lines, err := countLines(all[len(all)-1])
		return len(all) - 1, lines, err
	}
	for i := len(all) - 1; i >= 0; i-- {
		lines, err := countLines(all[i])
		if err != nil {
			return 0, 0, err
		}
		if lines >= n {
			return i, lines - n, nil
		}
		n -= lines
	}
	return 0, 0, nil
}

// countLines counts entries; a part of a line counts with what completes it, so
// entries that end a line are counted.
func countLines(name string) (int64, error) {
	f, err := open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var n int64
	buf := make([]byte, 32<<10)
	for {
		c, err := f.Read(buf)
		n += int64(bytes.Count(buf[:c], []byte{'\n'}))
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// open opens a log file, through gzip if it is compressed.
func open(name string) (io.ReadCloser, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	if !strings.HasSuffix(name, ".gz") {
		return f, nil
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("open log: %w", err)
	}
	return struct {
		io.Reader
		io.Closer
	}{z, f}, nil
}

// writer filters entries into the two streams.
type writer struct {
	opts           Options
	stdout, stderr io.Writer
	left           int64
	// partial tells that the last entry of a stream did not end its line.
	partial map[string]bool
}

func (w *writer) copyFile(name string, skip *int64) error {
	f, err := open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	r := bufio.NewReader(f)
	for {
		line, err := r.ReadBytes('\n')
		if len(line) > 0 {
			if *skip > 0 {
				*skip--
			} else if werr := w.line(bytes.TrimSuffix(line, []byte("\n"))); werr != nil {
				return werr
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read log: %w", err)
		}
	}
}

// line writes one line of the file. Lines that cannot be read are left out, as a
// crash may have torn one.
func (w *writer) line(raw []byte) error {
	e, err := parse(raw)
	if err != nil {
		return nil
	}
	if !w.opts.Since.IsZero() && e.before(w.opts.Since) {
		return nil
	}
	out := w.stdout
	if e.stream == "stderr" {
		out = w.stderr
	}
	if out == nil {
		return nil
	}
	text := e.text
	if w.opts.Timestamps && !w.partial[e.stream] {
		text = append(append(append([]byte{}, e.time...), ' '), e.text...)
	}
	if w.partial == nil {
		w.partial = map[string]bool{}
	}
	w.partial[e.stream] = !bytes.HasSuffix(text, []byte("\n"))
	if w.opts.LimitBytes > 0 && int64(len(text)) > w.left {
		text = text[:w.left]
	}
	w.left -= int64(len(text))
	if _, err := out.Write(text); err != nil {
		return err
	}
	if w.opts.LimitBytes > 0 && w.left <= 0 {
		return errLimit
	}
	return nil
}

// follower reads a file as it grows, and the next one of that name after a
// rotation.
type follower struct {
	path    string
	w       *writer
	skip    int64
	running func() bool
}

// settle is how long after the container's end its log may still grow.
const settle = 100 * time.Millisecond

func (f *follower) run(ctx context.Context) error {
	watch, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch log: %w", err)
	}
	defer watch.Close()
	if err := watch.Add(filepath.Dir(f.path)); err != nil {
		return fmt.Errorf("watch log: %w", err)
	}
	var file *os.File
	var reader *bufio.Reader
	var pending []byte
	defer func() {
		if file != nil {
			file.Close()
		}
	}()
	idle := time.NewTicker(time.Second)
	defer idle.Stop()
	closing := false
	for {
		if file == nil {
			if file, err = os.Open(f.path); err == nil {
				reader = bufio.NewReader(file)
			} else if !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("open log: %w", err)
			}
		}
		if file != nil {
			if pending, err = f.drain(reader, pending); err != nil {
				return err
			}
			if f.rotated(file) {
				// What was written between the last read and the rotation.
				if pending, err = f.drain(reader, pending); err != nil {
					return err
				}
				file.Close()
				file = nil
				continue
			}
		}
		if closing {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-watch.Events:
		case err := <-watch.Errors:
			return fmt.Errorf("watch log: %w", err)
		case <-idle.C:
			if f.running != nil && !f.running() {
				closing = true
				select {
				case <-time.After(settle):
				case <-ctx.Done():
				}
			}
		}
	}
}

// drain writes all complete lines and returns the rest.
func (f *follower) drain(r *bufio.Reader, pending []byte) ([]byte, error) {
	for {
		line, err := r.ReadBytes('\n')
		pending = append(pending, line...)
		if errors.Is(err, io.EOF) {
			return pending, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read log: %w", err)
		}
		if f.skip > 0 {
			f.skip--
		} else if err := f.w.line(bytes.TrimSuffix(pending, []byte("\n"))); err != nil {
			return nil, err
		}
		pending = pending[:0]
	}
}

// rotated tells whether the path has become another file.
func (f *follower) rotated(file *os.File) bool {
	have, err := file.Stat()
	if err != nil {
		return false
	}
	now, err := os.Stat(f.path)
	return err == nil && !os.SameFile(have, now)
}
