package cli

import (
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/urfave/cli/v2"
	"k8s.io/klog/v2"
)

// setUpLog makes slog's default logger as the flags ask, writing to w, and lets
// the libraries' klog write through it. least raises the level where the user
// named none.
func setUpLog(c *cli.Context, w io.Writer, least slog.Level) error {
	level, err := logLevel(c.String("log-level"))
	if err != nil {
		return usagef("log-level: %w", err)
	}
	if !c.IsSet("log-level") {
		level = max(level, least)
	}
	newHandler, err := logHandler(c.String("log-format"))
	if err != nil {
		return usagef("log-format: %w", err)
	}
	handler := newHandler(w, &slog.HandlerOptions{Level: level})
	slog.SetDefault(slog.New(handler))
	klog.SetSlogLogger(slog.New(libraryHandler{handler}))
	return nil
}

func logLevel(s string) (level slog.Level, err error) {
	if err := level.UnmarshalText([]byte(s)); err != nil {
		return level, fmt.Errorf("%q is not a level, use debug, info, warn or error", s)
	}
	return level, nil
}

// logHandler returns the maker of a format's handlers.
func logHandler(format string) (func(io.Writer, *slog.HandlerOptions) slog.Handler, error) {
	switch strings.ToLower(format) {
	case "text":
		return func(w io.Writer, o *slog.HandlerOptions) slog.Handler { return slog.NewTextHandler(w, o) }, nil
	case "json":
		return func(w io.Writer, o *slog.HandlerOptions) slog.Handler { return slog.NewJSONHandler(w, o) }, nil
	}
	return nil, fmt.Errorf("%q is not a format, use text or json", format)
}
