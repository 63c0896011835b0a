package containerd

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
)

// ensurePause imports the pause image unless exactly it is there. Nothing ever
// pulls it, so a box without a network starts pods.
func (d *Daemon) ensurePause(ctx context.Context) error {
	img, err := d.bridge.client.ImageService().Get(namespaces.WithNamespace(ctx, namespace), d.cfg.Pause.Name)
	if err == nil && img.Target.Digest.String() == d.cfg.Pause.Digest {
		return nil
	}
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("look for the pause image: %w", err)
	}
	labels := map[string]string{labelManaged: "managed", labelPinned: "pinned"}
	if _, err := d.importImages(ctx, d.cfg.Pause.Archive(), d.cfg.Pause.Name, labels); err != nil {
		return fmt.Errorf("import the pause image: %w", err)
	}
	return nil
}
