package container

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// fileValue reads a variable from a file of variables in one of the pod's volumes
// (KEP-3721); set is false for an optional one that is not there.
func (n *Node) fileValue(r Request, ref *corev1.FileKeySelector) (value string, set bool, err error) {
	optional := isTrue(ref.Optional)
	volume, err := r.Volumes.Volume(r.Pod, ref.VolumeName)
	if err != nil || volume.Path == "" {
		return "", false, fmt.Errorf("cannot find the volume %q referenced by FileKeyRef", ref.VolumeName)
	}
	value, err = readVariable(volume.Path, ref.Path, ref.Key)
	switch {
	case errors.Is(err, fs.ErrNotExist) && optional:
		return "", false, nil
	case err != nil:
		// Details stay in the log: the file may hold secrets.
		n.Log.Warn("cannot read a file of variables", "pod", r.Pod.Namespace+"/"+r.Pod.Name, "volume", ref.VolumeName, "file", ref.Path, "err", err)
		return "", false, errors.New("couldn't parse env file")
	case value == "" && optional:
		return "", false, nil
	case value == "":
		return "", false, fmt.Errorf("environment variable key %q not found in file %q", ref.Key, ref.Path)
	}
	return value, true, nil
}

// readVariable finds a variable in a file below dir, which no link leads out of.
func readVariable(dir, name, key string) (string, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer root.Close()
	f, err := root.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return parseVariable(f, key)
}

// parseVariable returns the value that key has in a file of lines as
//
//	NAME='any text, over several lines if need be' # a comment
//
// which is what a POSIX shell would read the same; "" if it is not there. Values
// without quotes are refused, blanks before the quote make the value empty.
func parseVariable(r io.Reader, key string) (string, error) {
	lines := &lineReader{s: bufio.NewScanner(r)}
	for lines.next() {
		line := strings.TrimLeft(lines.text, " \t")
		if line == "" || line[0] == '#' {
			continue
		}
		name, rest, ok := strings.Cut(line, "=")
		switch {
		case !ok:
			return "", lines.fail("missing '='")
		case name == "":
			return "", lines.fail("empty variable name")
		case strings.TrimRight(name, " \t") != name:
			return "", lines.fail("whitespace before '=' is not allowed")
		}
		value := ""
		if rest == "" || rest[0] != ' ' && rest[0] != '\t' {
			var err error
			if value, err = lines.quoted(rest); err != nil {
				return "", err
			}
		}
		if name == key {
			return value, nil
		}
	}
	return "", lines.s.Err()
}

// lineReader reads lines and counts them.
type lineReader struct {
	s    *bufio.Scanner
	text string
	line int
}

func (l *lineReader) next() bool {
	if !l.s.Scan() {
		return false
	}
	l.text = l.s.Text()
	l.line++
	return true
}

func (l *lineReader) fail(text string) error {
	return fmt.Errorf("invalid environment variable format at line %d: %s", l.line, text)
}

// quoted reads a value from its opening quote to the end of the line where it is
// closed.
func (l *lineReader) quoted(rest string) (string, error) {
	text, ok := strings.CutPrefix(rest, "'")
	if !ok {
		return "", l.fail("value must be enclosed in single quotes")
	}
	first := l.line
	var value strings.Builder
	for {
		part, after, closed := strings.Cut(text, "'")
		value.WriteString(part)
		if closed {
			if after = strings.TrimLeft(after, " \t"); after != "" && after[0] != '#' {
				return "", l.fail("unexpected content after closing quote")
			}
			return value.String(), nil
		}
		value.WriteByte('\n')
		if !l.next() {
			l.line = first
			return "", errors.Join(l.fail("unclosed single quote"), l.s.Err())
		}
		text = l.text
	}
}
