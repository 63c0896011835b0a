package pod

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"

	"skiff/agent/backoff"
	"skiff/agent/cgroup"
	"skiff/agent/container"
	"skiff/agent/image"
	"skiff/agent/objects"
	"skiff/agent/probe"
	"skiff/agent/volume"
	"skiff/metric"
	"skiff/runtime/cri"
)

// Config makes a Manager. All fields are required except where noted.
type Config struct {
	Client  kubernetes.Interface
	Runtime cri.Runtime
	// RuntimeName is what container IDs start with ("containerd").
	RuntimeName string
	Images      *image.Manager
	Node        *container.Node
	Volumes     *volume.Manager
	Objects     objects.Source
	// RuntimeClasses are only asked for pods that name one.
	RuntimeClasses RuntimeClasses
	// Cgroups is nil where the machine has none.
	Cgroups *cgroup.Manager
	Events  record.EventRecorder
	// GetNode returns the node's object as last seen.
	GetNode func() (*corev1.Node, error)
	// AllowedUnsafeSysctls are names, or prefixes ending in *.
	AllowedUnsafeSysctls []string
	// Features, if not nil, tells what a runtime handler can do ("" is the
	// default one).
	Features func(handler string) container.Features
	// NetworkReady, if not nil, is why pods without the host's network cannot
	// start yet.
	NetworkReady func() error
	RelistPeriod time.Duration
	Log          *slog.Logger
}

// Manager runs the pods of a node. It is safe for concurrent use.
type Manager struct {
	cfg     Config
	probes  *probe.Manager
	crashes *backoff.Backoff
	setups  *backoff.Backoff
	// What the log says once a minute, and not for each pod, of a server that does
	// not answer.
	unwritten, undeleted backoff.Seldom

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	nodeIP func() []netip.Addr

	mu      sync.Mutex
	workers map[types.UID]*worker
	closed  bool
	// complete tells that all pods of the API and the files are known, so that
	// whatever else runs is an orphan.
	complete bool
	shares   int64

	admitting sync.Mutex
	starts    starts
}

// NewManager returns a Manager; Run makes it work.
func NewManager(cfg Config) *Manager {
	ctx, cancel := context.WithCancel(context.Background())
	m := &Manager{
		cfg: cfg, ctx: ctx, cancel: cancel, nodeIP: cfg.Node.IPs,
		workers: map[types.UID]*worker{},
		starts:  starts{times: metric.NewHistogram(startBuckets)},
		crashes: backoff.New(10*time.Second, 5*time.Minute),
		setups:  backoff.New(500*time.Millisecond, 2*time.Minute),
	}
	m.probes = probe.New(probe.Config{Exec: executor{cfg.Runtime}, Events: cfg.Events, Log: cfg.Log, Changed: func(uid types.UID) { m.kick(uid, nil) }})
	cfg.Objects.OnChange(func(pods []types.UID) {
		for _, uid := range pods {
			m.kick(uid, func(w *worker) { w.configChanged() })
		}
	})
	return m
}

// Run works until ctx ends and all operations have. Containers keep running.
func (m *Manager) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, m.shutdown)
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { m.probes.Run(ctx) })
	wg.Go(func() { m.followRuntime(ctx) })
	<-ctx.Done()
	m.shutdown()
	m.wg.Wait()
	return ctx.Err()
}

func (m *Manager) shutdown() {
	m.mu.Lock()
	m.closed = true
	workers := make([]*worker, 0, len(m.workers))
	for _, w := range m.workers {
		workers = append(workers, w)
	}
	m.mu.Unlock()
	for _, w := range workers {
		w.timer.Stop()
	}
	m.cancel()
}

// spawn runs fn in a goroutine that Run waits for, unless the manager is closed.
func (m *Manager) spawn(fn func()) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.wg.Go(fn)
	return true
}

// Update tells about a pod of this node, new or changed. The pod is shared and
// must not be modified.
func (m *Manager) Update(pod *corev1.Pod) {
	if isMirror(pod) {
		m.updateMirror(pod)
		return
	}
	m.worker(pod.UID).post(func(w *worker) { w.setPod(pod) })
}

// Remove tells that a pod is gone from the API.
func (m *Manager) Remove(pod *corev1.Pod) {
	if isMirror(pod) {
		m.removeMirror(pod)
		return
	}
	m.kick(pod.UID, func(w *worker) {
		if w.pod == nil {
			w.pod = pod
		}
		w.removed = true
	})
}

// worker returns the pod's, a new one if there is none.
func (m *Manager) worker(uid types.UID) *worker {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := m.workers[uid]
	if w == nil {
		w = newWorker(m, uid)
		m.workers[uid] = w
	}
	return w
}

// kick makes the pod's worker look again, if there is one.
func (m *Manager) kick(uid types.UID, fn func(*worker)) bool {
	m.mu.Lock()
	w := m.workers[uid]
	m.mu.Unlock()
	if w == nil {
		return false
	}
	w.post(fn)
	return true
}

// forget drops a worker that has nothing left to do.
func (m *Manager) forget(w *worker) {
	w.timer.Stop()
	m.mu.Lock()
	if m.workers[w.uid] == w {
		delete(m.workers, w.uid)
	}
	m.mu.Unlock()
}

// Resync makes all pods be looked at: something that is not theirs changed which
// their status tells.
func (m *Manager) Resync() { m.each(func(w *worker) { w.post(nil) }) }

// each calls fn with every worker.
func (m *Manager) each(fn func(*worker)) {
	m.mu.Lock()
	workers := make([]*worker, 0, len(m.workers))
	for _, w := range m.workers {
		workers = append(workers, w)
	}
	m.mu.Unlock()
	for _, w := range workers {
		fn(w)
	}
}
