package cli

import (
	"context"
	"log/slog"
)

// libraryHandler lowers the libraries' chatter: what they call information is
// for debugging here, since a healthy idle system logs nothing.
type libraryHandler struct{ next slog.Handler }

func (h libraryHandler) lower(l slog.Level) slog.Level {
	if l <= slog.LevelInfo {
		return slog.LevelDebug
	}
	return l
}

func (h libraryHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return h.next.Enabled(ctx, h.lower(l))
}

func (h libraryHandler) Handle(ctx context.Context, r slog.Record) error {
	r.Level = h.lower(r.Level)
	return h.next.Handle(ctx, r)
}

func (h libraryHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return libraryHandler{h.next.WithAttrs(attrs)}
}

func (h libraryHandler) WithGroup(name string) slog.Handler {
	return libraryHandler{h.next.WithGroup(name)}
}
