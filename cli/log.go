package cli

import (
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
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.String("log-level"))); err != nil {
		return usagef("log-level: %q is not a level, use debug, info, warn or error", c.String("log-level"))
	}
	if !c.IsSet("log-level") {
		level = max(level, least)
	}
	opts := &slog.HandlerOptions{Level: level}
	var handler slog.Handler
	switch format := strings.ToLower(c.String("log-format")); format {
	case "text":
		handler = slog.NewTextHandler(w, opts)
	case "json":
		handler = slog.NewJSONHandler(w, opts)
	default:
		return usagef("log-format: %q is not a format, use text or json", format)
	}
	logger := slog.New(handler)
	slog.SetDefault(logger)
	klog.SetSlogLogger(slog.New(libraryHandler{handler}))
	return nil
}
