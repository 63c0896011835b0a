// Package logs reads and rotates the log files of containers, which runtimes
// write in the format of the CRI: a line is
//
//	2026-11-24T05:00:00.000000000Z stdout F the text
//
// where P in place of F marks a part of a line that goes on. A log that was
// rotated is made of several files: NAME.TIME.gz (older ones, compressed),
// NAME.TIME and NAME.
package logs

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// entry is one parsed line.
type entry struct {
	time   []byte
	stream string
	// text has its line end unless the line goes on in the next entry.
	text []byte
}

// parse takes one line without its line end.
func parse(line []byte) (entry, error) {
	stamp, rest, ok := bytes.Cut(line, []byte(" "))
	if !ok {
		return entry{}, fmt.Errorf("log line without a stream: %.40q", line)
	}
	stream, rest, ok := bytes.Cut(rest, []byte(" "))
	if !ok {
		return entry{}, fmt.Errorf("log line without tags: %.40q", line)
	}
	tags, text, ok := bytes.Cut(rest, []byte(" "))
	if !ok {
		text = nil
	}
	e := entry{time: stamp, stream: string(stream), text: text}
	if tag, _, _ := bytes.Cut(tags, []byte(":")); string(tag) != "P" {
		e.text = append(slices.Clip(e.text), '\n')
	}
	return e, nil
}

func (e entry) before(t time.Time) bool {
	stamp, err := time.Parse(time.RFC3339Nano, string(e.time))
	return err == nil && stamp.Before(t)
}

// files returns the files of a log, the oldest first.
func files(path string) []string {
	rotated, _ := filepath.Glob(path + ".*")
	rotated = slices.DeleteFunc(rotated, func(name string) bool { return strings.HasSuffix(name, ".tmp") })
	slices.Sort(rotated) // by the time in their names
	if _, err := os.Stat(path); err == nil {
		rotated = append(rotated, path)
	}
	return rotated
}

// Tail returns the text of the last lines of a log, at most limit bytes of it,
// both streams together.
func Tail(path string, lines int, limit int64) (string, error) {
	var out bytes.Buffer
	err := Read(context.Background(), path, Options{Tail: int64(lines)}, &out, &out)
	if err != nil {
		return "", err
	}
	text := out.Bytes()
	if int64(len(text)) > limit {
		text = text[int64(len(text))-limit:]
	}
	return string(text), nil
}
