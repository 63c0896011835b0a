// Package probe runs the startup, liveness and readiness probes of a node's
// containers.
//
// One goroutine keeps all probes in a heap by when they are due; a probe has a
// goroutine of its own only while it runs. Results are kept per container and
// read with Ready, Started and Failed; whoever owns the pods is told when one
// changes.
package probe

import (
	"context"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"
)

// Kind is one of the three kinds of probes.
type Kind int

// The kinds, in the order in which they matter to a container.
const (
	Startup Kind = iota
	Liveness
	Readiness
	kinds
)

// String returns the kind as events name it.
func (k Kind) String() string { return [...]string{"Startup", "Liveness", "Readiness"}[k] }

// Result is what a probe has found so far.
type Result int

// A Result is Unknown until a threshold is reached.
const (
	Unknown Result = iota
	Success
	Failure
)

// Executor runs commands in containers.
type Executor interface {
	// ExecSync returns the exit code and the output of both streams. A command
	// that takes longer than timeout is an error that errors.Is
	// context.DeadlineExceeded.
	ExecSync(ctx context.Context, containerID string, cmd []string, timeout time.Duration) (code int, output []byte, err error)
}

// Config makes a Manager.
type Config struct {
	Exec   Executor
	Events record.EventRecorder
	// Changed is told about the pods of which a result has changed. It must
	// not block.
	Changed func(uid types.UID)
	Log     *slog.Logger
}

// Manager runs probes. It is safe for concurrent use.
type Manager struct {
	cfg  Config
	wake chan struct{}
	wg   sync.WaitGroup

	mu     sync.Mutex
	pods   map[types.UID]map[key]*worker
	heap   schedule
	failed map[string]Kind
}

type key struct {
	container string
	kind      Kind
}

// worker is one probe of one container. Its fields are guarded by the Manager's
// mutex.
type worker struct {
	pod   *corev1.Pod
	uid   types.UID
	name  string
	kind  Kind
	spec  *corev1.Probe
	podIP string

	// id is the container that is probed, "" while there is none.
	id      string
	started time.Time
	result  Result
	last    Result
	streak  int32
	// busy while an attempt runs, held when the container is to be restarted
	// anyway.
	busy, held bool
	// generation invalidates the attempts begun for an earlier container.
	generation int

	due     time.Time
	index   int // in the heap, -1 if not scheduled
	regular time.Time
	eager   time.Duration
}

// New returns a Manager; Run makes it work.
func New(cfg Config) *Manager {
	return &Manager{cfg: cfg, wake: make(chan struct{}, 1), pods: map[types.UID]map[key]*worker{}, failed: map[string]Kind{}}
}

// Container is a container that runs.
type Container struct {
	ID      string
	Started time.Time
	// Ready and IsStarted are what was known about it before the agent started.
	Ready, IsStarted bool
}

// Set tells which containers of the pod run now; their probes follow. podIP is
// where network probes go.
func (m *Manager) Set(pod *corev1.Pod, podIP string, running map[string]Container) {
	m.mu.Lock()
	defer m.mu.Unlock()
	workers := m.pods[pod.UID]
	visit(pod, func(c *corev1.Container) {
		for kind := range kinds {
			spec := specOf(c, kind)
			k := key{c.Name, kind}
			w := workers[k]
			if spec == nil || w == nil && running[c.Name].ID == "" {
				continue
			}
			if w == nil {
				w = &worker{uid: pod.UID, name: c.Name, kind: kind, index: -1}
				if workers == nil {
					workers = map[key]*worker{}
					m.pods[pod.UID] = workers
				}
				workers[k] = w
			}
			w.pod, w.spec, w.podIP = pod, spec, podIP
			m.assign(w, running[c.Name])
		}
	})
	m.poke()
}

// assign makes w probe the container c, or none.
func (m *Manager) assign(w *worker, c Container) {
	if w.id == c.ID {
		if w.id != "" && w.index < 0 && !w.busy && !w.held {
			m.arm(w)
		}
		return
	}
	delete(m.failed, w.id)
	w.id, w.started = c.ID, c.Started
	w.generation++
	w.busy, w.held, w.last, w.streak = false, false, Unknown, 0
	w.result = initial(w.kind, c)
	m.remove(w)
	if c.ID == "" {
		return
	}
	w.eager = eagerDelay(w)
	w.regular = w.started.Add(seconds(w.spec.InitialDelaySeconds))
	if now := time.Now(); w.regular.Before(now) {
		w.regular = now
		if now.Sub(w.started) > seconds(w.spec.PeriodSeconds) {
			// An agent that has just started finds many containers at once.
			w.regular = now.Add(spread(seconds(w.spec.PeriodSeconds)))
			w.eager = 0
		}
	}
	w.due = w.regular
	m.arm(w)
}

// initial is what counts until the first result.
func initial(kind Kind, c Container) Result {
	switch {
	case kind == Liveness, kind == Readiness && c.Ready, kind == Startup && c.IsStarted:
		return Success
	}
	return Unknown
}

// arm schedules w if its turn can come: startup probes first, the others once
// the container has started, startup probes never again.
func (m *Manager) arm(w *worker) {
	if w.id == "" || w.index >= 0 || w.busy || w.held {
		return
	}
	started := m.startedLocked(w.uid, w.name)
	if (w.kind == Startup) == started {
		return
	}
	m.push(w)
}

func (m *Manager) startedLocked(uid types.UID, container string) bool {
	s := m.pods[uid][key{container, Startup}]
	return s == nil || s.result == Success
}

// Started tells whether a running container has started: its startup probe has
// succeeded or it has none.
func (m *Manager) Started(uid types.UID, c *corev1.Container, id string) bool {
	if c.StartupProbe == nil {
		return true
	}
	return m.resultOf(uid, c.Name, Startup, id) == Success
}

// Ready tells whether a running container is ready.
func (m *Manager) Ready(uid types.UID, c *corev1.Container, id string) bool {
	if c.ReadinessProbe == nil {
		return true
	}
	return m.resultOf(uid, c.Name, Readiness, id) == Success
}

func (m *Manager) resultOf(uid types.UID, container string, kind Kind, id string) Result {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := m.pods[uid][key{container, kind}]
	if w == nil || w.id != id {
		return Unknown
	}
	return w.result
}

// Failed tells whether a container must be restarted, and for which kind of
// probe.
func (m *Manager) Failed(id string) (Kind, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	kind, ok := m.failed[id]
	return kind, ok
}

// StopLiveness ends the probes that restart containers: the pod is going away.
func (m *Manager) StopLiveness(uid types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, w := range m.pods[uid] {
		if k.kind != Readiness {
			w.held = true
			w.generation++
			m.remove(w)
			delete(m.failed, w.id)
		}
	}
}

// Remove forgets a pod.
func (m *Manager) Remove(uid types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range m.pods[uid] {
		w.generation++
		m.remove(w)
		delete(m.failed, w.id)
	}
	delete(m.pods, uid)
}

// visit calls fn with the containers that can have probes.
func visit(pod *corev1.Pod, fn func(*corev1.Container)) {
	for i := range pod.Spec.InitContainers {
		fn(&pod.Spec.InitContainers[i])
	}
	for i := range pod.Spec.Containers {
		fn(&pod.Spec.Containers[i])
	}
}

func specOf(c *corev1.Container, kind Kind) *corev1.Probe {
	switch kind {
	case Startup:
		return c.StartupProbe
	case Liveness:
		return c.LivenessProbe
	}
	return c.ReadinessProbe
}
