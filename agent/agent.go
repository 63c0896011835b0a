package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"skiff/agent/cgroup"
	"skiff/agent/container"
	"skiff/agent/image"
	"skiff/agent/logs"
	"skiff/agent/objects"
	"skiff/agent/pod"
	"skiff/agent/userns"
	"skiff/agent/volume"
	"skiff/runtime/cri/metered"
)

// Agent runs one node.
type Agent struct {
	cfg     Config
	deps    Deps
	log     *slog.Logger
	machine machine
	cgroups *cgroup.Manager
	users   *userns.Allocator
	cnode   *container.Node
	objects objects.Source
	pulls   *image.Manager
	pods    *pod.Manager
	volumes *volume.Manager
	events  *events
	meter   *metered.Meter
	// own are the informers that the agent made itself, and runs.
	own []cache.SharedIndexInformer

	runtimeName, runtimeVersion string

	// nodeIPs are the node's addresses now; never nil, nor empty.
	nodeIPs atomic.Pointer[[]netip.Addr]
	// lease is how long the node counts as alive after a renewal; leaseNow wakes
	// its renewal.
	lease    atomic.Int64
	leaseNow chan struct{}
	// runtime is never nil.
	runtime   atomic.Pointer[runtimeState]
	statusNow chan struct{}
	rotator   *logs.Rotator

	mu   sync.Mutex
	node *corev1.Node
	// registered tells that the node's object was there in this run, deleted that
	// it no longer is; lost is what it was known by.
	registered, deleted bool
	lost                types.UID
	nodeImages          []corev1.ContainerImage
	cidrs               []string
	cidrErr             error
}

// New checks the configuration and makes what the agent needs on the node. It
// talks to neither the runtime nor the API server yet.
func New(cfg Config, deps Deps) (*Agent, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if deps.Client == nil || deps.Runtime == nil || deps.Images == nil {
		return nil, errors.New("agent: a client, a runtime and images are required")
	}
	if deps.Logger == nil {
		deps.Logger = slog.New(slog.DiscardHandler)
	}
	meter := metered.New()
	deps.Runtime, deps.Images = meter.Runtime(deps.Runtime), meter.Images(deps.Images)
	a := &Agent{cfg: cfg, deps: deps, log: deps.Logger, meter: meter, statusNow: make(chan struct{}, 1), leaseNow: make(chan struct{}, 1)}
	a.lease.Store(int64(cfg.LeaseDuration))
	a.nodeIPs.Store(&cfg.NodeIPs)
	a.runtime.Store(&runtimeState{down: errNotAsked})
	for _, dir := range []string{a.podsDir(), cfg.LogDir, cfg.StaticPodDir} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("agent: %w", err)
		}
	}
	if a.machine, err = inspect(); err != nil {
		return nil, fmt.Errorf("agent: look at the machine: %w", err)
	}
	if a.users, err = userns.New(a.podsDir()); err != nil {
		return nil, fmt.Errorf("agent: %w", err)
	}
	cg := cfg.Cgroup
	cg.NoCPULimits = cg.NoCPULimits || !*cfg.EnforceCPULimits
	if a.cgroups, err = cgroup.New(cg, a.log); err != nil {
		a.log.Warn("pods run without cgroups of their own, their resources are not limited", "err", err)
		a.cgroups = nil
	}
	a.events = newEvents(cfg, deps)
	a.makeInformers()
	return a, nil
}

// podsDir holds a directory per pod.
func (a *Agent) podsDir() string { return filepath.Join(a.cfg.DataDir, "pods") }

// Run works until ctx ends or the agent cannot go on, and waits for all that it
// started. Containers keep running.
func (a *Agent) Run(ctx context.Context) error {
	if err := a.meetRuntime(ctx); err != nil {
		return err
	}
	a.wire()
	unshare, err := volume.Share(a.podsDir())
	if err != nil {
		a.log.Warn("mounts do not propagate between pods and this node", "err", err)
	}
	defer func() {
		if err := unshare(); err != nil {
			a.log.Warn("the pods' directory stays a mount of its own", "err", err)
		}
	}()
	g, ctx := errgroup.WithContext(ctx)
	a.events.start()
	defer a.events.stop()
	for _, informer := range a.own {
		g.Go(func() error { informer.RunWithContext(ctx); return nil })
	}
	a.events.node(corev1.EventTypeNormal, "Starting", "Starting kubelet.")
	a.limitPods()
	g.Go(func() error { return quiet(ctx, a.pods.Run(ctx)) })
	g.Go(func() error { return quiet(ctx, a.keepNode(ctx)) })
	g.Go(func() error { return quiet(ctx, a.keepLease(ctx)) })
	g.Go(func() error { return quiet(ctx, a.followPods(ctx)) })
	g.Go(func() error { return quiet(ctx, a.followServer(ctx)) })
	g.Go(func() error { return quiet(ctx, a.rotator.Run(ctx)) })
	if a.deps.Certificate != nil && a.cfg.Port > 0 {
		g.Go(func() error { return quiet(ctx, a.serve(ctx)) })
	}
	err = g.Wait()
	a.objects.Close()
	return err
}

// limitPods bounds all pods together.
func (a *Agent) limitPods() {
	if a.cgroups == nil {
		return
	}
	if err := a.cgroups.Setup(a.allocatableCgroup()); err != nil {
		a.events.node(corev1.EventTypeWarning, "FailedNodeAllocatableEnforcement", fmt.Sprintf("Failed to update Node Allocatable Limits: %v", err))
		a.log.Warn("the pods' cgroups could not be set up completely", "err", err)
		return
	}
	a.events.node(corev1.EventTypeNormal, "NodeAllocatableEnforced", "Updated Node Allocatable limit across pods")
}

// quiet drops the error of a loop that ended because it was told to.
func quiet(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// meetRuntime waits until the runtime answers.
func (a *Agent) meetRuntime(ctx context.Context) error {
	for delay := 10 * time.Millisecond; ; delay = min(2*delay, 5*time.Second) {
		v, err := a.deps.Runtime.Version(ctx, &runtimeapi.VersionRequest{Version: "v1"})
		if err == nil {
			a.runtimeName, a.runtimeVersion = v.RuntimeName, v.RuntimeVersion
			return nil
		}
		if delay == 5*time.Second {
			a.log.Warn("the container runtime does not answer", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(delay):
		}
	}
}

// wire makes the parts, now that the runtime's name is known.
func (a *Agent) wire() {
	a.objects = a.deps.Objects
	if a.objects == nil {
		a.objects = objects.NewWatched(a.deps.Client, a.deps.Memory, a.log)
	}
	recorder := a.events.recorder
	podsDir := a.podsDir()
	a.cnode = &container.Node{
		Name: a.cfg.NodeName, IPs: a.NodeIPs, ClusterDNS: a.cfg.ClusterDNS, ClusterDomain: a.cfg.ClusterDomain,
		ResolvConf: a.cfg.HostResolvConf, HostsFile: "/etc/hosts", LogDir: a.cfg.LogDir, PodsDir: podsDir,
		MemoryCapacity: a.machine.memory, Allocatable: a.allocatable, EnforceCPULimits: *a.cfg.EnforceCPULimits,
		Cgroups: a.cgroups, Users: a.users, Objects: a.objects, Services: a.services, Log: a.log,
		Warn: func(p *corev1.Pod, reason, message string) {
			recorder.Event(container.PodRef(p), corev1.EventTypeWarning, reason, message)
		},
	}
	a.pulls = image.New(a.deps.Images, recorder)
	tokens, claims, classes := volume.ClientTokens(a.deps.Client), volume.ClientClaims(a.deps.Client), pod.ClientRuntimeClasses(a.deps.Client)
	if m := a.deps.Memory; m != nil {
		tokens, claims, classes = m.Tokens(tokens), m.Claims(claims), m.RuntimeClasses(classes)
	}
	a.volumes = volume.New(volume.Config{
		PodsDir: podsDir, Objects: a.objects, Tokens: tokens, Claims: claims,
		Mounter: volume.Kernel{}, Node: a.cnode, Log: a.log,
	})
	a.pods = pod.NewManager(pod.Config{
		Client: a.deps.Client, Runtime: a.deps.Runtime, RuntimeName: a.runtimeName, Images: a.pulls, Node: a.cnode, Volumes: a.volumes,
		RuntimeClasses: classes, Objects: a.objects, Cgroups: a.cgroups, Events: recorder, GetNode: a.Node, AllowedUnsafeSysctls: a.cfg.AllowedUnsafeSysctls,
		Features: a.features, NetworkReady: a.networkReady, RelistPeriod: a.cfg.RelistPeriod, Log: a.log,
	})
	a.rotator = logs.NewRotator(logs.RotatorConfig{
		MaxSize: a.cfg.LogMaxSize, MaxFiles: a.cfg.LogMaxFiles, Runtime: a.deps.Runtime, Log: a.log,
		Each: func(fn func(id, path string)) {
			a.pods.Containers(func(_ *corev1.Pod, _ string, c pod.Container) { fn(c.ID, c.LogPath) })
		},
	})
}

// NodeIPs returns the node's addresses.
func (a *Agent) NodeIPs() []netip.Addr { return *a.nodeIPs.Load() }

// SetNodeIPs tells that the node's addresses are other ones from now on, at least
// one: its status and that of its pods follow.
func (a *Agent) SetNodeIPs(ips []netip.Addr) {
	a.nodeIPs.Store(&ips)
	a.statusSoon()
}

// Pods returns the pods of the node with their present statuses.
func (a *Agent) Pods() []*corev1.Pod { return a.pods.Pods() }

// Node returns the node's object as last seen.
func (a *Agent) Node() (*corev1.Node, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.node == nil {
		return nil, errors.New("the node is not registered yet")
	}
	return a.node, nil
}
