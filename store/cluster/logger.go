package cluster

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/hashicorp/go-hclog"
)

// newLogger returns an hclog.Logger that writes to log. What raft calls
// information goes to the debug level: a healthy system is silent.
func newLogger(log *slog.Logger) hclog.Logger {
	l := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "raft", Level: hclog.Off, Output: io.Discard})
	l.RegisterSink(sink{log})
	return l
}

// sink is an hclog.SinkAdapter.
type sink struct{ log *slog.Logger }

// Accept implements hclog.SinkAdapter.
func (s sink) Accept(_ string, level hclog.Level, msg string, args ...any) {
	lvl := slog.LevelDebug
	switch {
	case level >= hclog.Error:
		lvl = slog.LevelError
	case level == hclog.Warn && !routine(msg):
		lvl = slog.LevelWarn
	}
	if !s.log.Enabled(context.Background(), lvl) {
		return
	}
	for i, a := range args {
		if k, ok := a.(string); ok && i%2 == 0 && k == "error" {
			args[i] = "err"
		}
		if f, ok := a.(hclog.Format); ok && len(f) > 0 {
			args[i] = fmt.Sprintf(f[0].(string), f[1:]...)
		}
	}
	s.log.Log(context.Background(), lvl, "raft: "+msg, args...)
}

// routine tells whether a warning is part of every start of a single voter.
func routine(msg string) bool {
	return strings.HasPrefix(msg, "heartbeat timeout reached, starting election") ||
		strings.HasPrefix(msg, "skipping application of old log")
}
