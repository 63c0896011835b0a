package fake

import (
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The fake's programs are those of a shell that tests use most:
//
//	(nothing), pause            run until TERM, then exit 0 (a real program without a handler would exit 143)
//	sleep N                     N seconds, TERM ends it with 143; "sleep infinity"
//	true, false, exit N         end
//	echo TEXT                   to the log; "echo TEXT >&2", "echo TEXT > FILE" (FILE below a mount)
//	cat FILE                    FILE below a mount, to the log
//	printenv NAME               the variable's value, to the log
//	trap '' TERM                TERM is ignored from here on
//	sh -c 'A; B; C'             one after the other
type step []string

// parse returns the steps of a command line, or an error for a program that is
// not there.
func parse(argv []string) ([]step, error) {
	if len(argv) >= 3 && (argv[0] == "sh" || argv[0] == "/bin/sh") && argv[1] == "-c" {
		var steps []step
		for part := range strings.SplitSeq(argv[2], ";") {
			if words := strings.Fields(part); len(words) > 0 {
				more, err := parse(words)
				if err != nil {
					return nil, err
				}
				steps = append(steps, more...)
			}
		}
		return steps, nil
	}
	if len(argv) == 0 {
		return []step{{"pause"}}, nil
	}
	switch filepath.Base(argv[0]) {
	case "pause", "sleep", "true", "false", "exit", "echo", "cat", "printenv", "trap":
		return []step{argv}, nil
	}
	return nil, fmt.Errorf("exec: %q: executable file not found in $PATH", argv[0])
}

type process struct {
	steps []step
	term  chan struct{}
	done  chan struct{}
	once  sync.Once
	tonce sync.Once
}

func newProcess(steps []step) *process {
	return &process{steps: steps, term: make(chan struct{}), done: make(chan struct{})}
}

func (p *process) end()       { p.once.Do(func() { close(p.done) }) }
func (p *process) terminate() { p.tonce.Do(func() { close(p.term) }) }

// play runs the steps and returns the exit code.
func (p *process) play(out *logWriter, c *container) int32 {
	term := (<-chan struct{})(p.term)
	for _, s := range p.steps {
		switch filepath.Base(s[0]) {
		case "true":
		case "false":
			return 1
		case "exit":
			n, _ := strconv.Atoi(arg(s, 1))
			return int32(n)
		case "trap":
			term = nil
		case "pause":
			select {
			case <-term:
				return 0
			case <-p.done:
				return 137
			}
		case "sleep":
			if !p.sleep(arg(s, 1), term) {
				return 143
			}
		default:
			if err := builtin(s, out.stream("stdout"), out.stream("stderr"), c); err != nil {
				fmt.Fprintln(out.stream("stderr"), err)
				return 1
			}
		}
	}
	return 0
}

// sleep reports whether it ended by itself.
func (p *process) sleep(spec string, term <-chan struct{}) bool {
	var timeout <-chan time.Time
	if seconds, err := strconv.ParseFloat(spec, 64); err == nil && !math.IsInf(seconds, 0) {
		timer := time.NewTimer(time.Duration(seconds * float64(time.Second)))
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-timeout:
		return true
	case <-term:
	case <-p.done:
	}
	return false
}

// builtin runs a program that neither waits nor ends the container.
func builtin(s step, stdout, stderr io.Writer, c *container) error {
	switch filepath.Base(s[0]) {
	case "echo":
		return echo(s[1:], stdout, stderr, c)
	case "printenv":
		for _, kv := range c.config.Envs {
			if kv.Key == arg(s, 1) {
				fmt.Fprintln(stdout, string(kv.Value))
			}
		}
	case "cat":
		data, err := os.ReadFile(hostPath(c, arg(s, 1)))
		if err != nil {
			return fmt.Errorf("cat: can't open '%s': No such file or directory", arg(s, 1))
		}
		stdout.Write(data)
	}
	return nil
}

func echo(words []string, stdout, stderr io.Writer, c *container) error {
	w := stdout
	for i, word := range words {
		if word == ">&2" {
			w, words = stderr, words[:i]
			break
		}
		if word == ">" {
			return os.WriteFile(hostPath(c, arg(words, i+1)), []byte(strings.Join(words[:i], " ")+"\n"), 0o644)
		}
	}
	fmt.Fprintln(w, strings.Join(words, " "))
	return nil
}

func arg(s []string, i int) string {
	if i < len(s) {
		return s[i]
	}
	return ""
}

// hostPath resolves a path in the container through its mounts.
func hostPath(c *container, path string) string {
	best, found := "", ""
	for _, m := range c.config.Mounts {
		if (path == m.ContainerPath || strings.HasPrefix(path, strings.TrimSuffix(m.ContainerPath, "/")+"/")) && len(m.ContainerPath) > len(best) {
			best, found = m.ContainerPath, filepath.Join(m.HostPath, strings.TrimPrefix(path, m.ContainerPath))
		}
	}
	if found == "" {
		return filepath.Join("/nonexistent", path)
	}
	return found
}

// logWriter appends to a CRI log file: "TIME STREAM F LINE".
type logWriter struct{ path string }

func (l *logWriter) stream(name string) io.Writer { return streamWriter{l, name} }

type streamWriter struct {
	log  *logWriter
	name string
}

func (w streamWriter) Write(p []byte) (int, error) {
	if w.log.path == "" {
		return len(p), nil
	}
	f, err := os.OpenFile(w.log.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for line := range strings.SplitSeq(strings.TrimSuffix(string(p), "\n"), "\n") {
		if _, err := fmt.Fprintf(f, "%s %s F %s\n", time.Now().Format(time.RFC3339Nano), w.name, line); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}
