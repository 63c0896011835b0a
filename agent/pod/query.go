package pod

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"skiff/agent/fieldpath"
)

// showTo publishes the worker's state for readers.
func (w *worker) showTo() {
	s := &shown{pod: w.pod, status: w.status, admitted: w.admitted, removed: w.removed, done: w.tornDown || w.end != nil && w.quiet()}
	if len(w.view.sandboxes) > 0 && w.view.sandboxes[0].State == sandboxReady {
		s.sandbox = w.view.sandboxes[0].Id
	}
	for i := range w.view.containers {
		c := &w.view.containers[i]
		s.containers = append(s.containers, shownContainer{
			name: c.Metadata.GetName(), id: c.Id, logPath: c.LogPath, attempt: restartCount(c), running: c.State == stateRunning,
		})
	}
	w.m.starts.shown(w.shown.Swap(s), s, w.seen)
}

// Pods returns the node's pods with their statuses as they are now, by namespace
// and name.
func (m *Manager) Pods() []*corev1.Pod {
	var out []*corev1.Pod
	m.each(func(w *worker) {
		if s := w.shown.Load(); s != nil && s.pod != nil {
			out = append(out, s.full())
		}
	})
	slices.SortFunc(out, func(a, b *corev1.Pod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// full is the pod with its present status; the rest is shared with the cache.
func (s *shown) full() *corev1.Pod {
	pod := *s.pod
	pod.Status = s.status
	return &pod
}

// Found is a pod as Find returns it.
type Found struct {
	Pod *corev1.Pod
	// Sandbox is the ID of the ready sandbox, "" if there is none.
	Sandbox    string
	containers []shownContainer
}

// Container is a container as it is in the runtime.
type Container struct {
	ID, LogPath string
	Running     bool
}

// Find returns the pod of that name, the running one if there are several.
func (m *Manager) Find(namespace, name string) (Found, bool) {
	var best *shown
	m.each(func(w *worker) {
		s := w.shown.Load()
		if s == nil || s.pod == nil || s.pod.Namespace != namespace || s.pod.Name != name {
			return
		}
		if best == nil || best.done && !s.done {
			best = s
		}
	})
	if best == nil {
		return Found{}, false
	}
	return Found{Pod: best.full(), Sandbox: best.sandbox, containers: best.containers}, true
}

// Container returns the pod's container of that name: the newest, or the one
// before.
func (f Found) Container(name string, previous bool) (Container, bool) {
	skip := previous
	for _, c := range f.containers {
		if c.name != name {
			continue
		}
		if skip {
			skip = false
			continue
		}
		return Container{ID: c.id, LogPath: c.logPath, Running: c.running}, true
	}
	return Container{}, false
}

// Containers calls fn with every container of every pod that runs, for log
// rotation and statistics.
func (m *Manager) Containers(fn func(pod *corev1.Pod, name string, c Container)) {
	m.each(func(w *worker) {
		s := w.shown.Load()
		if s == nil || s.pod == nil {
			return
		}
		for _, c := range s.containers {
			if c.running {
				fn(s.pod, c.name, Container{ID: c.id, LogPath: c.logPath, Running: true})
			}
		}
	})
}

// Running tells whether the container of that ID runs.
func (f Found) Running(id string) bool {
	for _, c := range f.containers {
		if c.id == id {
			return c.running
		}
	}
	return false
}

// Spec is the specification of the pod's container of that name, nil if it has
// none.
func (f Found) Spec(name string) *corev1.Container { return fieldpath.Container(f.Pod, name) }
