package pod

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"skiff/agent/container"
)

// minGrace is what every container gets to react to TERM, in seconds.
const minGrace = 2

// kill is a container being stopped.
type kill struct {
	id     string
	grace  int64
	cancel context.CancelFunc
}

type killRequest struct {
	// grace in seconds, the preStop hook's time included.
	grace int64
	// message is the event's, "" for the usual one.
	message string
	// order makes containers wait for others, nil for none.
	order *order
}

// killOne stops a container. A kill that runs already is only replaced by one
// with less patience.
func (w *worker) killOne(c *instance, req killRequest) {
	name := c.Metadata.GetName()
	if k := w.kills[name]; k != nil && k.id == c.Id {
		if req.grace >= k.grace {
			return
		}
		k.cancel()
	}
	spec := w.spec(name)
	pod, id, ip := w.pod, c.Id, first(w.podIPs())
	ctx, cancel := context.WithCancel(w.m.ctx)
	k := &kill{id: id, grace: req.grace, cancel: cancel}
	replaced := w.kills[name] != nil
	w.kills[name] = k
	if !replaced {
		msg := req.message
		if msg == "" {
			msg = fmt.Sprintf("Stopping container %s", name)
		}
		w.m.cfg.Events.Event(container.Ref(pod, name), corev1.EventTypeNormal, "Killing", msg)
	}
	m := w.m
	m.spawn(func() {
		defer cancel()
		err := m.killContainer(ctx, pod, spec, name, id, ip, req, !replaced)
		w.post(func(w *worker) {
			if w.kills[name] != k {
				return // replaced
			}
			delete(w.kills, name)
			w.stale = true
			if err != nil && m.ctx.Err() == nil {
				w.event(corev1.EventTypeWarning, "FailedKillPod", fmt.Sprintf("error killing pod: %v", err))
				w.wake(time.Now().Add(5 * time.Second))
			}
		})
	})
}

// killContainer runs the preStop hook, waits for the container's turn and stops
// it; all of that within the grace period, but never with less than minGrace at
// the end, unless the pod is to go at once.
func (m *Manager) killContainer(ctx context.Context, pod *corev1.Pod, c *corev1.Container, name, id, ip string, req killRequest, hook bool) error {
	grace, began := time.Duration(req.grace)*time.Second, time.Now()
	if hook && c != nil && c.Lifecycle != nil && c.Lifecycle.PreStop != nil && grace > 0 {
		hookCtx, cancel := context.WithTimeout(ctx, grace)
		if _, err := m.runHook(hookCtx, pod, c, id, ip, c.Lifecycle.PreStop); err != nil && hookCtx.Err() == nil {
			m.cfg.Events.Event(container.Ref(pod, name), corev1.EventTypeWarning, "FailedPreStopHook", "PreStopHook failed")
		}
		cancel()
	}
	if req.order != nil {
		defer req.order.done(name)
		req.order.wait(ctx, name, grace-time.Since(began))
	}
	left := int64((grace - time.Since(began)) / time.Second)
	if left < minGrace && req.grace != 0 {
		left = minGrace
	}
	_, err := m.cfg.Runtime.StopContainer(ctx, &runtimeapi.StopContainerRequest{ContainerId: id, Timeout: max(left, 0)})
	if err != nil && isNotFound(err) {
		return nil
	}
	return err
}
