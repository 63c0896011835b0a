package cli

import (
	"context"
	"log/slog"
	"slices"
	"strings"
)

// libraryHandler lowers the libraries' chatter: what they call information is
// for debugging here, since a healthy idle system logs nothing, and so is what
// only says that somebody's stream has ended. What they say in still smaller print
// (klog's levels above 4) is never logged: it holds whole requests and answers,
// with the Secrets and tokens in them.
type libraryHandler struct{ next slog.Handler }

func (h libraryHandler) lower(l slog.Level) slog.Level {
	if l <= slog.LevelInfo {
		return slog.LevelDebug
	}
	return l
}

func (h libraryHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelDebug && h.next.Enabled(ctx, h.lower(l))
}

func (h libraryHandler) Handle(ctx context.Context, r slog.Record) error {
	r.Level = h.lower(r.Level)
	if endOfStream(r) || slices.Contains(unwrittenEvents, r.Message) {
		r.Level = slog.LevelDebug
	}
	if !h.next.Enabled(ctx, r.Level) {
		return nil
	}
	return h.next.Handle(ctx, r)
}

func (h libraryHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return libraryHandler{h.next.WithAttrs(attrs)}
}

func (h libraryHandler) WithGroup(name string) slog.Handler {
	return libraryHandler{h.next.WithGroup(name)}
}

// streamEnds are what the libraries log as errors when a client of exec, attach
// or port-forward goes away.
var streamEnds = []string{
	"Error on socket receive",
	"Error proxying data from client to backend",
	"Error proxying data from backend to client",
}

// unwrittenEvents are said for each event, and each try, while the API server is away;
// that it is has been said.
var unwrittenEvents = []string{
	"Unable to write event (may retry after sleeping)",
	"Unable to write event (retry limit exceeded!)",
	"Unable to write event (broadcaster is shut down)",
}

// streamFailures begin the errors of streams that their client is told as well: a
// command that is not there, a port that nobody listens on.
var streamFailures = []string{
	"error executing command in container",
	"error attaching to container",
	"error forwarding port",
}

func endOfStream(r slog.Record) bool {
	if slices.Contains(streamEnds, r.Message) {
		return true
	}
	found := false
	if r.Message == "Unhandled Error" {
		r.Attrs(func(a slog.Attr) bool {
			text := a.Value.String()
			found = a.Key == "err" && slices.ContainsFunc(streamFailures, func(p string) bool { return strings.HasPrefix(text, p) })
			return !found
		})
	}
	return found
}
