package containerd

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/sirupsen/logrus"
)

// routeLogs sends what containerd logs through logrus, which is global to the
// process, into slog; klog, which it uses for streams, is the process's to route.
// containerd reports each step of each pod at level info: here that is debug.
// fatal takes the error with which it would end the process; the goroutine that
// reports it ends instead.
func routeLogs(logger *slog.Logger, fatal func(error)) {
	std := logrus.StandardLogger()
	std.SetOutput(io.Discard)
	std.SetFormatter(noFormat{})
	std.SetLevel(logrus.WarnLevel)
	if logger.Enabled(context.Background(), slog.LevelDebug) {
		std.SetLevel(logrus.InfoLevel)
	}
	hook := &slogHook{log: logger}
	std.ReplaceHooks(logrus.LevelHooks{})
	std.AddHook(hook)
	std.ExitFunc = func(int) {
		fatal(hook.takeFatal())
		runtime.Goexit()
	}
}

// harmless says of a message that it tells of nothing wrong: of something that
// this box lacks and nothing here needs, or will only have later (the network's
// configuration, at the first start, or a moment later when it is written but
// not renamed yet: a hidden file); of cleaning up what is gone already after
// a start that failed, which the caller reports, or that was cut short, which is
// tried again; of a shim that ends while it is talked to.
func harmless(msg string, err error) bool {
	switch {
	case msg == "failed check for fsverity support", msg == "copy shim log",
		msg == "ttrpc: received message on inactive stream", msg == "failed sending message on channel",
		strings.HasPrefix(msg, "failed to load cni during init"), strings.HasPrefix(msg, "Failed to close stdin for container"):
		return true
	case strings.HasPrefix(msg, "failed to reload cni configuration"):
		return strings.Contains(msg, "/net.d/.")
	case msg == "failed to delete task", msg == "failed to recover sandbox state", msg == "failed to query shim pids, keeping shim registered":
		return errdefs.IsNotFound(err) || errdefs.IsNotFound(errgrpc.ToNative(err))
	}
	return strings.HasPrefix(msg, "Failed to pipe std") || msg == "warnings while cleaning up dead shim"
}

// noFormat spares the formatting of entries that only the hook reads.
type noFormat struct{}

func (noFormat) Format(*logrus.Entry) ([]byte, error) { return nil, nil }

type slogHook struct {
	log   *slog.Logger
	mu    sync.Mutex
	fatal error
}

func (*slogHook) Levels() []logrus.Level { return logrus.AllLevels }

func (h *slogHook) Fire(e *logrus.Entry) error {
	attrs := make([]slog.Attr, 0, len(e.Data)+1)
	attrs = append(attrs, slog.String("from", "containerd"))
	var cause error
	for k, v := range e.Data {
		switch k {
		case logrus.ErrorKey:
			k = "err"
			cause, _ = v.(error)
		case "runtime", "namespace":
			continue // the same in each line
		}
		attrs = append(attrs, slog.Any(k, v))
	}
	if e.Level <= logrus.FatalLevel {
		h.keepFatal(e.Message, cause)
		return nil
	}
	l := level(e.Level)
	if harmless(e.Message, cause) {
		l = slog.LevelDebug
	}
	h.log.LogAttrs(context.Background(), l, e.Message, attrs...)
	return nil
}

func (h *slogHook) keepFatal(msg string, cause error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fatal = cause; cause == nil {
		h.fatal = errors.New(msg)
	}
}

func (h *slogHook) takeFatal() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.fatal
}

func level(l logrus.Level) slog.Level {
	switch l {
	case logrus.PanicLevel, logrus.FatalLevel, logrus.ErrorLevel:
		return slog.LevelError
	case logrus.WarnLevel:
		return slog.LevelWarn
	case logrus.InfoLevel:
		return slog.LevelDebug
	default:
		return slog.LevelDebug - 4
	}
}
