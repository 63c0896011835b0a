package containerd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	task "github.com/containerd/containerd/api/runtime/task/v3"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/ttrpc"
	"golang.org/x/sync/errgroup"

	"skiff/atomicfile"
)

// A container that ends while no daemon runs leaves its exit code with its
// shim. containerd, when it starts, takes such a shim for a leaked one, drops
// it, and CRI reports exit code 255, "Unknown". So before containerd starts we
// ask the shims ourselves, and complete CRI's checkpoints of the containers
// that have ended: a checkpoint that says "exited" is believed.

// shimTimeout bounds the questions to one shim: one that hangs must not keep the node down.
const shimTimeout = 2 * time.Second

// recoverExits completes the checkpoints of containers that have ended. Errors
// concern single containers, and are joined.
func recoverExits(ctx context.Context, l Layout, log *slog.Logger) error {
	dirs, err := os.ReadDir(l.criContainers())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	errs := make([]error, len(dirs))
	var group errgroup.Group
	group.SetLimit(8)
	for i, dir := range dirs {
		group.Go(func() error {
			if err := recoverExit(ctx, l, dir.Name(), log); err != nil {
				errs[i] = fmt.Errorf("container %s: %w", dir.Name(), err)
			}
			return nil
		})
	}
	_ = group.Wait()
	return errors.Join(errs...)
}

func recoverExit(ctx context.Context, l Layout, id string, log *slog.Logger) error {
	cp, err := readCheckpoint(filepath.Join(l.criContainers(), id, "status"))
	if err != nil || !cp.running() {
		return err
	}
	state, err := askShim(ctx, filepath.Join(l.taskBundles(), id), id)
	if err != nil || state == nil || state.Status != tasktypes.Status_STOPPED {
		return err
	}
	log.Debug("container ended while skiff was down", "container", id, "exitCode", state.ExitStatus)
	return cp.finish(state.ExitedAt.AsTime(), state.ExitStatus)
}

// askShim returns the state of the task in the bundle, or nil if no shim is
// there to tell.
func askShim(ctx context.Context, bundle, id string) (*task.StateResponse, error) {
	data, err := os.ReadFile(filepath.Join(bundle, "bootstrap.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // the machine was restarted, or the task never started
	}
	if err != nil {
		return nil, err
	}
	var params struct{ Address, Protocol string }
	if err := json.Unmarshal(data, &params); err != nil {
		return nil, fmt.Errorf("read bootstrap.json: %w", err)
	}
	path, ok := strings.CutPrefix(params.Address, "unix://")
	if !ok || params.Protocol != "ttrpc" {
		return nil, fmt.Errorf("shim at %s speaks %q, not ttrpc", params.Address, params.Protocol)
	}
	ctx, cancel := context.WithTimeout(namespaces.WithNamespace(ctx, namespace), shimTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, nil // the shim is dead, and the exit code with it
	}
	client := ttrpc.NewClient(conn)
	defer client.Close()
	return task.NewTTRPCTaskClient(client).State(ctx, &task.StateRequest{ID: id})
}

// checkpoint is CRI's status file of a container. Fields that we don't know
// are kept as they are.
type checkpoint struct {
	path   string
	fields map[string]json.RawMessage
}

func readCheckpoint(path string) (*checkpoint, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &checkpoint{}, nil
	}
	if err != nil {
		return nil, err
	}
	c := &checkpoint{path: path}
	if err := json.Unmarshal(data, &c.fields); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return c, nil
}

func (c *checkpoint) number(key string) (n int64) {
	_ = json.Unmarshal(c.fields[key], &n)
	return n
}

func (c *checkpoint) running() bool {
	return string(c.fields["Version"]) == `"v1"` && c.number("StartedAt") != 0 && c.number("FinishedAt") == 0
}

// finish records when and how the container ended.
func (c *checkpoint) finish(at time.Time, code uint32) error {
	c.fields["FinishedAt"], _ = json.Marshal(at.UnixNano())
	c.fields["ExitCode"], _ = json.Marshal(int32(code))
	data, err := json.Marshal(c.fields)
	if err != nil {
		return err
	}
	return atomicfile.Write(c.path, data, 0o600)
}
