package containerd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/containerd/containerd/v2/cmd/containerd/server"
	"github.com/containerd/containerd/v2/pkg/cap"

	"skiff/runtime/cri"
)

// GroupAnnotation on a pod names the group whose pods share one shim.
const GroupAnnotation = "io.containerd.runc.v2.group"

// ErrStarted is returned by New when this process has or had a daemon already.
var ErrStarted = errors.New("containerd: this process already runs its daemon; a process holds one, once")

var started atomic.Bool

// Daemon is a running containerd.
type Daemon struct {
	cfg         Config
	snapshotter string
	log         *slog.Logger
	server      *server.Server
	bridge      bridge
	pause       pauseImport
	events      *eventHub
	failed      chan error
	lock        *os.File
	closeOnce   sync.Once
	// background is what goes on after the start; cancel ends it.
	background sync.WaitGroup
	cancel     context.CancelFunc
}

// New starts the daemon and returns when CRI answers. Containers found running
// from an earlier daemon with the same Layout are taken over.
func New(cfg Config) (*Daemon, error) {
	cfg.complete()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if !started.CompareAndSwap(false, true) {
		return nil, ErrStarted
	}
	d := &Daemon{cfg: cfg, log: cfg.Logger, failed: make(chan error, 1)}
	routeLogs(cfg.Logger, d.fail)
	if err := d.start(context.Background()); err != nil {
		return nil, fmt.Errorf("start containerd: %w", err)
	}
	return d, nil
}

func (d *Daemon) start(ctx context.Context) error {
	if err := d.setEnvironment(); err != nil {
		return err
	}
	for dir, mode := range map[string]os.FileMode{d.cfg.Root: 0o700, d.cfg.Run: 0o711, d.cfg.SocketDir: 0o711, d.cfg.CNIConfDir: 0o755} {
		if err := os.MkdirAll(dir, mode); err != nil {
			return err
		}
	}
	lock, err := lockRoot(d.cfg.Root)
	if err != nil {
		return err
	}
	d.lock = lock
	if err := recoverExits(ctx, d.cfg.Layout, d.log); err != nil {
		d.log.Warn("exit codes of containers that ended while skiff was down are lost", "err", err)
	}
	networks, err := d.cfg.networks()
	if err != nil {
		return err
	}
	if d.snapshotter, err = chooseSnapshotter(&d.cfg, d.log); err != nil {
		return err
	}
	restrict, err := mustRestrictOOM()
	if err != nil {
		return err
	}
	conf := daemonConfig(&d.cfg, d.snapshotter, restrict)
	if err := server.CreateTopLevelDirectories(conf); err != nil {
		return err
	}
	registerBridge(&d.bridge)
	if d.server, err = server.New(ctx, conf); err != nil {
		return err
	}
	if err := d.server.Start(ctx); err != nil {
		return err
	}
	if err := d.waitReady(); err != nil {
		d.server.Stop()
		return err
	}
	d.events = newEventHub(d.bridge.cri)
	ctx, d.cancel = context.WithCancel(ctx)
	if err := d.ensurePause(ctx); err != nil {
		return err
	}
	d.background.Go(func() {
		if err := d.endOrphans(ctx, networks); err != nil && ctx.Err() == nil {
			d.log.Warn("what an earlier start left over stays", "err", err)
		}
	})
	return nil
}

// waitReady waits for CRI, or for the failure that containerd would end the process with.
func (d *Daemon) waitReady() error {
	ready := make(chan struct{})
	go func() {
		d.server.Wait()
		close(ready)
	}()
	select {
	case <-ready:
		return nil
	case err := <-d.failed:
		return err
	}
}

// fail takes what containerd regards as fatal.
func (d *Daemon) fail(err error) {
	select {
	case d.failed <- err:
	default:
	}
}

// Failed yields the error with which CRI ended by itself, if it ever does. The
// daemon is of no use from then on.
func (d *Daemon) Failed() <-chan error { return d.failed }

// Runtime returns the CRI runtime service.
func (d *Daemon) Runtime() cri.Runtime { return &runtimeService{d} }

// Images returns the CRI image service.
func (d *Daemon) Images() cri.Images { return &imageService{d} }

// Snapshotter names what holds the root file systems: overlayfs or native.
func (d *Daemon) Snapshotter() string { return d.snapshotter }

// Close stops the daemon. Containers and their shims run on.
func (d *Daemon) Close() error {
	d.closeOnce.Do(func() {
		d.cancel()
		d.background.Wait()
		d.events.close()
		d.server.Stop()
		d.lock.Close()
	})
	return nil
}

// mustRestrictOOM says whether containers may get no better OOM score than this
// process has: without CAP_SYS_RESOURCE the kernel refuses anything lower, and
// no sandbox would start.
func mustRestrictOOM() (bool, error) {
	caps, err := cap.Current()
	if err != nil {
		return false, fmt.Errorf("read the process's capabilities: %w", err)
	}
	for _, c := range caps {
		if c == "CAP_SYS_RESOURCE" {
			return false, nil
		}
	}
	return true, nil
}

// setEnvironment prepares what containerd and its children read from the
// process's environment. It keeps containerd from decompressing layers with
// whatever unpigz or igzip the box has; and a shim that it finds by name alone,
// as for the containers of a sandbox after a restart, and the runc that this
// looks for, must be ours.
func (d *Daemon) setEnvironment() error {
	path := []string{filepath.Dir(d.cfg.Shim)}
	if dir := filepath.Dir(d.cfg.Runc); dir != path[0] {
		path = append(path, dir)
	}
	if old := os.Getenv("PATH"); old != "" {
		path = append(path, old)
	}
	return errors.Join(
		os.Setenv("PATH", strings.Join(path, ":")),
		os.Setenv("CONTAINERD_DISABLE_PIGZ", "true"),
		os.Setenv("CONTAINERD_DISABLE_IGZIP", "true"),
	)
}
