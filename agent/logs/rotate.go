package logs

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// rotatePeriod is how often the sizes of logs are looked at.
const rotatePeriod = 10 * time.Second

// Reopener makes a runtime write a log under its name anew.
type Reopener interface {
	ReopenContainerLog(context.Context, *runtimeapi.ReopenContainerLogRequest) (*runtimeapi.ReopenContainerLogResponse, error)
}

// RotatorConfig makes a Rotator.
type RotatorConfig struct {
	// MaxSize is the size in bytes at which a log is rotated, MaxFiles how many
	// files of it are kept, the current one included (at least 2).
	MaxSize  int64
	MaxFiles int
	Runtime  Reopener
	// Each calls fn with every running container.
	Each func(fn func(id, path string))
	Log  *slog.Logger
}

// Rotator keeps the containers' logs from filling the disk.
type Rotator struct{ cfg RotatorConfig }

// NewRotator returns a Rotator; Run makes it work.
func NewRotator(cfg RotatorConfig) *Rotator { return &Rotator{cfg} }

// Run rotates logs until ctx ends.
func (r *Rotator) Run(ctx context.Context) error {
	ticker := time.NewTicker(rotatePeriod)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
			r.Check(ctx)
		}
	}
}

// Check looks at every log once.
func (r *Rotator) Check(ctx context.Context) {
	r.cfg.Each(func(id, path string) {
		info, err := os.Stat(path)
		if err != nil || info.Size() < r.cfg.MaxSize || ctx.Err() != nil {
			return
		}
		if err := r.rotate(ctx, id, path); err != nil {
			r.cfg.Log.Error("cannot rotate a container's log", "container", id, "file", path, "err", err)
		}
	})
}

// rotate compresses the files rotated before, moves the current one aside and
// lets the runtime begin a new one. Readers that follow the log need the last
// rotated file uncompressed.
func (r *Rotator) rotate(ctx context.Context, id, path string) error {
	rotated := files(path)
	rotated = rotated[:len(rotated)-1]
	for len(rotated) > max(r.cfg.MaxFiles-2, 0) {
		if err := os.Remove(rotated[0]); err != nil {
			return err
		}
		rotated = rotated[1:]
	}
	for _, name := range rotated {
		if !strings.HasSuffix(name, ".gz") {
			if err := compress(name); err != nil {
				return err
			}
		}
	}
	aside := path + "." + time.Now().UTC().Format("20060102-150405.000")
	if err := os.Rename(path, aside); err != nil {
		return err
	}
	_, err := r.cfg.Runtime.ReopenContainerLog(ctx, &runtimeapi.ReopenContainerLogRequest{ContainerId: id})
	if err != nil {
		// The runtime still writes to the file that was moved.
		if back := os.Rename(aside, path); back != nil && !errors.Is(back, fs.ErrNotExist) {
			return errors.Join(err, back)
		}
		return fmt.Errorf("reopen the log: %w", err)
	}
	return nil
}

func compress(name string) error {
	in, err := os.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	tmp := name + ".gz.tmp"
	out, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	z := gzip.NewWriter(out)
	_, err = io.Copy(z, in)
	if err = errors.Join(err, z.Close(), out.Close()); err != nil {
		os.Remove(tmp)
		return err
	}
	if err := os.Rename(tmp, name+".gz"); err != nil {
		return err
	}
	return os.Remove(name)
}
