package containerd

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
)

// pauseImport is the import of the pause image, which goes on while whatever else
// starts: it waits for the disk some thirty times, and nothing needs the image
// before the first sandbox.
type pauseImport struct {
	done chan struct{} // closed after err is set
	err  error
}

// wait waits for the import.
func (p *pauseImport) wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ensurePause imports the pause image in the background unless exactly it is
// there. Nothing ever pulls it, so a box without a network starts pods; without
// it, the daemon is of no use.
func (d *Daemon) ensurePause(ctx context.Context) error {
	d.pause.done = make(chan struct{})
	img, err := d.bridge.client.ImageService().Get(namespaces.WithNamespace(ctx, namespace), d.cfg.Pause.Name)
	if err == nil && img.Target.Digest.String() == d.cfg.Pause.Digest {
		close(d.pause.done)
		return nil
	}
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("look for the pause image: %w", err)
	}
	d.background.Go(func() {
		defer close(d.pause.done)
		labels := map[string]string{labelManaged: "managed", labelPinned: "pinned"}
		if _, err := d.importImages(ctx, d.cfg.Pause.Archive(), d.cfg.Pause.Name, labels); err != nil {
			d.pause.err = fmt.Errorf("import the pause image: %w", err)
			if ctx.Err() == nil {
				d.fail(d.pause.err)
			}
		}
	})
	return nil
}
