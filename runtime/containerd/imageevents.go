package containerd

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/pkg/namespaces"
)

// settleImages is how long images must be at peace before somebody is told: one
// pull or import is many events, and CRI takes notice a moment after them.
const settleImages = time.Second

// FollowImages calls changed after images have come or gone, until ctx ends.
func (d *Daemon) FollowImages(ctx context.Context, changed func()) error {
	events, errs := d.bridge.client.Subscribe(namespaces.WithNamespace(ctx, namespace), `topic~="^/images/"`)
	timer := time.NewTimer(settleImages)
	timer.Stop()
	defer timer.Stop()
	for {
		select {
		case <-events:
			timer.Reset(settleImages)
		case <-timer.C:
			changed()
		case err := <-errs:
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("follow the runtime's images: %w", err)
		case <-ctx.Done():
			return nil
		}
	}
}
