package pod

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"

	"skiff/agent/container"
)

// order makes sidecars stop after the containers that they serve: first all main
// containers, then the sidecars from the last to the first (KEP-753).
type order struct {
	// after holds, per container, the channels of those that go before it.
	after map[string][]chan struct{}
	ended map[string]chan struct{}
	// closed guards against ending twice.
	closed chan struct{}
}

// newOrder returns the order in which the running containers of a pod stop, nil
// if it does not matter.
func newOrder(pod *corev1.Pod, running []*instance) *order {
	o := &order{after: map[string][]chan struct{}{}, ended: map[string]chan struct{}{}, closed: make(chan struct{}, 1)}
	runs := map[string]bool{}
	for _, c := range running {
		runs[c.Metadata.GetName()] = true
	}
	var before []chan struct{}
	add := func(name string) {
		if runs[name] {
			ch := make(chan struct{})
			o.ended[name] = ch
			before = append(before, ch)
		}
	}
	for i := range pod.Spec.Containers {
		add(pod.Spec.Containers[i].Name)
	}
	sidecars := false
	for i := len(pod.Spec.InitContainers) - 1; i >= 0; i-- {
		if c := &pod.Spec.InitContainers[i]; container.IsSidecar(c) {
			sidecars = true
			o.after[c.Name] = append([]chan struct{}(nil), before...)
			add(c.Name)
		}
	}
	if !sidecars {
		return nil
	}
	return o
}

// wait blocks until all that go before the container have ended, or for limit.
func (o *order) wait(ctx context.Context, name string, limit time.Duration) {
	timer := time.NewTimer(max(limit, 0))
	defer timer.Stop()
	for _, ch := range o.after[name] {
		select {
		case <-ch:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// done tells that a container has ended.
func (o *order) done(name string) {
	o.closed <- struct{}{}
	defer func() { <-o.closed }()
	if ch := o.ended[name]; ch != nil {
		close(ch)
		delete(o.ended, name)
	}
}
