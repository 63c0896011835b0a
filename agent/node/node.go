// Package node puts one node together: the container runtime, the agent, and the
// service proxy with DNS. A server runs it in its own process, an agent by
// itself; what differs is only how they reach the API.
//
//	n, err := node.New(cfg, deps, factory)   // before the informers start
//	err = n.Run(ctx, open, ready)            // open yields the runtime
package node

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/informers"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"skiff/agent"
	"skiff/agent/cgroup"
	"skiff/latch"
	"skiff/proxy"
	"skiff/proxy/overlay"
	"skiff/runtime/cni"
	"skiff/runtime/containerd"
	"skiff/runtime/containerd/images"
	"skiff/runtime/cri"
	"skiff/runtime/cri/remote"
	"skiff/runtime/instance"
	"skiff/server/client"
)

// Config says what node this is.
type Config struct {
	Agent agent.Config
	Proxy proxy.Config
	// DataDir is the instance's.
	DataDir string
	// RuntimeEndpoint is the CRI socket to use in place of the embedded
	// containerd, "" for that.
	RuntimeEndpoint string
	// DisableProxy leaves services and DNS out.
	DisableProxy bool
	// Overlay is how pods of different nodes reach each other (overlay.Mode, ""
	// for the default one), MTU that of the pods' links, 0 for what fits.
	Overlay string
	MTU     int
	Logger  *slog.Logger
}

// Runtime is a node's container runtime.
type Runtime struct {
	Runtime cri.Runtime
	Images  cri.Images
	// daemon is nil for a runtime behind a socket.
	daemon *containerd.Daemon
	close  func() error
}

// OpenRuntime starts the embedded containerd, or connects to the socket. It
// needs nothing of the cluster, so that it can go on while a server starts.
func OpenRuntime(cfg Config) (*Runtime, error) {
	if cfg.RuntimeEndpoint != "" {
		conn, err := remote.Dial(cfg.RuntimeEndpoint)
		if err != nil {
			return nil, fmt.Errorf("container-runtime-endpoint: %w", err)
		}
		return &Runtime{Runtime: conn, Images: conn, close: conn.Close}, nil
	}
	conf, err := containerd.Prepare(cfg.DataDir, cfg.Logger)
	if err != nil {
		return nil, err
	}
	daemon, err := containerd.New(conf)
	if err != nil {
		return nil, err
	}
	return &Runtime{Runtime: daemon.Runtime(), Images: daemon.Images(), daemon: daemon, close: daemon.Close}, nil
}

// StartRuntime opens the runtime in the background; what it returns waits for it.
// opened is told how long it took.
func StartRuntime(cfg Config, opened func(took time.Duration)) func() (*Runtime, error) {
	open := sync.OnceValues(func() (*Runtime, error) {
		begin := time.Now()
		rt, err := OpenRuntime(cfg)
		if err == nil {
			opened(time.Since(begin))
		}
		return rt, err
	})
	go open() // who closes the runtime waits for it
	return open
}

// Close lets the runtime go; containers run on.
func (r *Runtime) Close() error { return r.close() }

// Node is one node.
type Node struct {
	cfg   Config
	deps  agent.Deps
	proxy *proxy.Proxy
	// overlay carries traffic to other nodes' pods, network is what this node's get.
	overlay *overlay.Overlay
	network *network

	mu    sync.Mutex
	ips   []netip.Addr
	lease time.Duration
	agent *agent.Agent // nil until there is a runtime
	// embedded is the runtime in this process, nil if there is none (yet).
	embedded cri.Runtime
}

// New puts together what follows the cluster. deps lack the runtime and what it
// brings. The factory's informers must not have started.
func New(cfg Config, deps agent.Deps, factory informers.SharedInformerFactory) (*Node, error) {
	n := &Node{cfg: cfg, deps: deps, ips: cfg.Agent.NodeIPs, lease: cfg.Agent.LeaseDuration}
	err := n.makeOverlay(factory)
	if err != nil || cfg.DisableProxy {
		return n, err
	}
	n.proxy, err = proxy.New(cfg.Proxy, factory)
	return n, err
}

// Collectors are the metrics of what runs beside the agent: the proxy, DNS, and
// this process's clients of the API. The node's API shows them.
func (n *Node) Collectors() []prometheus.Collector {
	list := []prometheus.Collector{client.Metrics()}
	if n.proxy != nil {
		list = append(list, n.proxy.Collectors()...)
	}
	return list
}

// newAgent makes the agent on the runtime. imagesChanged tells it that images of
// the embedded one have come or gone; it calls onReady once.
func (n *Node) newAgent(rt *Runtime, imagesChanged <-chan struct{}, onReady func()) (*agent.Agent, error) {
	cfg, deps, in := n.cfg.Agent, n.deps, instance.Of(n.cfg.DataDir)
	deps.OnReady = onReady
	cfg.Cgroup = cgroup.Config{Name: filepath.Base(in.CgroupParent())}
	deps.Runtime, deps.Images, deps.Logger = rt.Runtime, rt.Images, n.cfg.Logger
	deps.Collectors = n.Collectors()
	if rt.daemon != nil {
		deps.ImagesChanged = imagesChanged
		deps.OnPodCIDRs = n.network.setBlocks
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if rt.daemon != nil {
		n.embedded = rt.Runtime
	}
	cfg.NodeIPs, cfg.LeaseDuration = n.ips, n.lease
	var err error
	n.agent, err = agent.New(cfg, deps)
	return n.agent, err
}

// SetLeaseDuration changes how long the node counts as alive after it said so.
func (n *Node) SetLeaseDuration(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lease = d
	if n.agent != nil {
		n.agent.SetLeaseDuration(d)
	}
}

// SetNodeIPs tells that the node's addresses are other ones from now on: its
// status, its pods' and its service rules follow.
func (n *Node) SetNodeIPs(ips []netip.Addr) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ips = ips
	if n.agent != nil {
		n.agent.SetNodeIPs(ips)
	}
	if n.proxy == nil {
		return nil
	}
	return n.proxy.SetNodeIPs(ips)
}

// ImagesSocket is where the instance's images are imported and listed.
func ImagesSocket(dataDir string) string {
	return filepath.Join(instance.Of(dataDir).RunDir(), "images.sock")
}

// Run runs the node until ctx ends. open yields the runtime, which may still be
// on its way; it stays the caller's to close. ready is called once services and
// DNS are there and the node's status says Ready, of this run and not of the last.
func (n *Node) Run(ctx context.Context, open func() (*Runtime, error), ready func()) error {
	group, ctx := errgroup.WithContext(ctx)
	up := latch.New(3) // overlay, services, agent
	group.Go(func() error { return n.overlay.Run(ctx, up.Done) })
	if n.proxy == nil {
		up.Done()
	} else {
		group.Go(func() error { return n.proxy.Run(ctx, up.Done) })
	}
	group.Go(func() error {
		if up.Wait(ctx) == nil {
			ready()
		}
		return nil
	})
	group.Go(func() error {
		rt, err := open()
		if err != nil || ctx.Err() != nil {
			return err
		}
		imagesChanged := make(chan struct{}, 1)
		a, err := n.newAgent(rt, imagesChanged, up.Done)
		if err != nil {
			return err
		}
		if rt.daemon != nil {
			if err := n.reclaimNetwork(ctx, rt); err != nil {
				n.cfg.Logger.Warn("addresses of pods that are gone may stay taken", "err", err)
			}
		}
		group.Go(func() error { return a.Run(ctx) })
		if rt.daemon == nil {
			return nil
		}
		return n.runDaemon(ctx, rt.daemon, imagesChanged)
	})
	return group.Wait()
}

// reclaimNetwork takes back addresses, links and ports that a plugin which was
// killed left with no sandbox. Nothing may start a sandbox meanwhile.
func (n *Node) reclaimNetwork(ctx context.Context, rt *Runtime) error {
	resp, err := rt.Runtime.ListPodSandbox(ctx, &runtimeapi.ListPodSandboxRequest{})
	if err != nil {
		return err
	}
	valid := make([]cni.Attachment, len(resp.Items))
	for i, s := range resp.Items {
		valid[i] = cni.Attachment{ContainerID: s.Id, IfName: containerd.PodLink}
	}
	return cni.ConfigFor(n.cfg.DataDir, nil, 0).GC(valid)
}

// runDaemon serves the embedded runtime's images, until ctx ends or it fails.
func (n *Node) runDaemon(ctx context.Context, d *containerd.Daemon, imagesChanged chan<- struct{}) error {
	server, err := images.Listen(ImagesSocket(n.cfg.DataDir), d)
	if err != nil {
		return err
	}
	defer server.Close()
	watcher := &images.Watcher{
		Dir: filepath.Join(n.cfg.DataDir, "images"), Record: filepath.Join(n.cfg.DataDir, "imported-images.json"),
		Importer: d, Logger: n.cfg.Logger,
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return watcher.Run(ctx) })
	group.Go(func() error {
		return d.FollowImages(ctx, func() {
			select {
			case imagesChanged <- struct{}{}:
			default: // it will look anyway
			}
		})
	})
	group.Go(func() error {
		select {
		case err := <-d.Failed():
			return fmt.Errorf("the container runtime ended: %w", err)
		case <-ctx.Done():
			return nil
		}
	})
	return group.Wait()
}
