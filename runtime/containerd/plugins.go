package containerd

import (
	"context"
	"fmt"

	// Only what CRI with runc needs. Each plugin registers itself.
	_ "github.com/containerd/containerd/v2/core/runtime/v2"
	_ "github.com/containerd/containerd/v2/plugins/content/local/plugin"
	_ "github.com/containerd/containerd/v2/plugins/cri"
	_ "github.com/containerd/containerd/v2/plugins/cri/images"
	_ "github.com/containerd/containerd/v2/plugins/cri/runtime"
	_ "github.com/containerd/containerd/v2/plugins/diff/walking/plugin"
	_ "github.com/containerd/containerd/v2/plugins/events"
	_ "github.com/containerd/containerd/v2/plugins/gc"
	_ "github.com/containerd/containerd/v2/plugins/leases"
	_ "github.com/containerd/containerd/v2/plugins/metadata"
	_ "github.com/containerd/containerd/v2/plugins/mount"
	_ "github.com/containerd/containerd/v2/plugins/sandbox"
	_ "github.com/containerd/containerd/v2/plugins/server/ttrpc"
	_ "github.com/containerd/containerd/v2/plugins/services/containers"
	_ "github.com/containerd/containerd/v2/plugins/services/content"
	_ "github.com/containerd/containerd/v2/plugins/services/diff"
	_ "github.com/containerd/containerd/v2/plugins/services/events"
	_ "github.com/containerd/containerd/v2/plugins/services/images"
	_ "github.com/containerd/containerd/v2/plugins/services/introspection"
	_ "github.com/containerd/containerd/v2/plugins/services/namespaces"
	_ "github.com/containerd/containerd/v2/plugins/services/sandbox"
	_ "github.com/containerd/containerd/v2/plugins/services/snapshots"
	_ "github.com/containerd/containerd/v2/plugins/services/tasks"
	_ "github.com/containerd/containerd/v2/plugins/services/warning"
	_ "github.com/containerd/containerd/v2/plugins/snapshots/native/plugin"
	_ "github.com/containerd/containerd/v2/plugins/snapshots/overlay/plugin"
	_ "github.com/containerd/containerd/v2/plugins/transfer"

	client "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/platforms"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const (
	// namespace is the one that CRI keeps its objects in.
	namespace = "k8s.io"

	bridgeType plugin.Type = "io.skiff.bridge.v1"
	bridgeURI              = string(bridgeType) + ".cri"
)

// criService is what CRI's plugin hands out, and would serve over gRPC.
type criService interface {
	runtimeapi.RuntimeServiceServer
	runtimeapi.ImageServiceServer
}

// imageUpdater makes CRI take notice of a changed image at once, instead of
// when its event arrives.
type imageUpdater interface {
	UpdateImage(ctx context.Context, ref string) error
}

// bridge holds the in-memory services of a running daemon.
type bridge struct {
	cri    criService
	images imageUpdater
	client *client.Client
}

// registerBridge adds the plugin through which the daemon's objects leave
// containerd's plugin graph.
func registerBridge(out *bridge) {
	registry.Register(&plugin.Registration{
		Type: bridgeType,
		ID:   "cri",
		Requires: []plugin.Type{
			plugins.GRPCPlugin,
			plugins.CRIServicePlugin,
			plugins.EventPlugin,
			plugins.LeasePlugin,
			plugins.MountManagerPlugin,
			plugins.SandboxStorePlugin,
			plugins.ServicePlugin,
			plugins.TransferPlugin,
		},
		InitFn: func(ic *plugin.InitContext) (any, error) {
			if err := out.fill(ic); err != nil {
				return nil, err
			}
			return out, nil
		},
	})
}

func (b *bridge) fill(ic *plugin.InitContext) error {
	instance, err := ic.GetByID(plugins.GRPCPlugin, "cri")
	if err != nil {
		return fmt.Errorf("find the cri plugin: %w", err)
	}
	var ok bool
	if b.cri, ok = instance.(criService); !ok {
		return fmt.Errorf("cri plugin is a %T without the cri services", instance)
	}
	if instance, err = ic.GetByID(plugins.CRIServicePlugin, "images"); err != nil {
		return fmt.Errorf("find the cri image plugin: %w", err)
	}
	if b.images, ok = instance.(imageUpdater); !ok {
		return fmt.Errorf("cri image plugin is a %T that cannot update images", instance)
	}
	b.client, err = client.New("",
		client.WithDefaultNamespace(namespace),
		client.WithDefaultPlatform(platforms.Default()),
		client.WithInMemoryServices(ic),
	)
	return err
}
