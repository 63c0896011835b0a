// Command containerd-shim-runc-v2 is containerd's shim for runc, of the version
// in go.mod, for embedding into skiff. One runs per pod, or group of pods, and
// outlives the daemon. Against upstream's own main it is tuned for size, and
// survives a fault of upstream's on cgroup v1 without a busy loop.
package main

import (
	"context"
	"runtime"
	"runtime/debug"

	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/manager"
	_ "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/task/plugin"
	"github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/log"
	"github.com/sirupsen/logrus"
)

// gcPercent trades a little CPU, in a process that does next to nothing, for
// about a third of its heap: see docs/adr.
const gcPercent = 20

func main() {
	debug.SetGCPercent(gcPercent)
	logger := logrus.New()
	logger.SetLevel(logrus.WarnLevel)
	logger.SetFormatter(&formatter{logrus.TextFormatter{TimestampFormat: log.RFC3339NanoFixed, FullTimestamp: true}})
	ctx := log.WithLogger(context.Background(), logrus.NewEntry(logger))
	shim.RunShim(ctx, manager.NewShimManager("io.containerd.runc.v2"))
}

// formatter is upstream's, but ends the goroutine that watches for OOM events
// on cgroup v1 when the shim shuts down: it takes the shutdown's error for one
// of epoll's, and would log it, in a loop, until the process is gone.
type formatter struct{ logrus.TextFormatter }

func (f *formatter) Format(e *logrus.Entry) ([]byte, error) {
	if err, ok := e.Data[logrus.ErrorKey].(error); ok && e.Message == "cgroups: epoll wait" && err.Error() == "shutdown" {
		runtime.Goexit()
	}
	return f.TextFormatter.Format(e)
}
