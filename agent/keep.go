package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"skiff/agent/backoff"
)

// How often the runtime is asked how it is. Everything else in the node's status
// is looked at when it may have changed, and written only if it has. While the
// node is not ready that is more and more seldom: what it waits for, such as the
// runtime's taking up the network, mostly takes milliseconds.
const (
	checkPeriod        = 10 * time.Second
	firstNotReadyCheck = 5 * time.Millisecond
	notReadyCheck      = 200 * time.Millisecond
)

// keepNode registers the node and keeps its object true, until ctx ends.
func (a *Agent) keepNode(ctx context.Context) error {
	reg, err := a.deps.Nodes.AddEventHandler(a.nodeHandler())
	if err != nil {
		return fmt.Errorf("follow the node: %w", err)
	}
	defer a.deps.Nodes.RemoveEventHandler(reg)
	a.lookAtRuntime(ctx)
	a.lookAtImages(ctx)
	onReady := func() {}
	if a.deps.OnReady != nil {
		onReady = sync.OnceFunc(a.deps.OnReady)
	}
	if !a.register(ctx, onReady) {
		return ctx.Err()
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	k := keeper{a: a, changed: true, ips: a.nodeIPs.Load(), notReady: firstNotReadyCheck, onReady: onReady}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-a.statusNow:
			k.changed, k.notReady = true, firstNotReadyCheck
		case <-a.deps.ImagesChanged:
			k.changed = a.lookAtImages(ctx) || k.changed
		case <-timer.C:
		}
		timer.Reset(k.look(ctx))
	}
}

// keeper writes the node's status.
type keeper struct {
	a *Agent
	// changed tells that the status may differ from what the API has.
	changed bool
	// ips are the addresses that the pods' statuses tell.
	ips      *[]netip.Addr
	written  time.Time
	failures int
	said     backoff.Seldom
	// notReady is how long to wait for the next look at a node that is not.
	notReady time.Duration
	// onReady may be called again.
	onReady func()
}

// look brings the node's status up to date and returns when to look again.
func (k *keeper) look(ctx context.Context) time.Duration {
	a := k.a
	a.adoptCIDRs()
	if ips := a.nodeIPs.Load(); ips != k.ips {
		k.ips = ips
		a.pods.Resync()
	}
	k.changed = a.lookAtRuntime(ctx) || k.changed
	due := time.Since(k.written) >= a.cfg.StatusPeriod
	if a.deps.ImagesChanged == nil || due {
		k.changed = a.lookAtImages(ctx) || k.changed
	}
	wait := checkPeriod
	if k.changed || due {
		did, err := a.writeStatus(ctx, due)
		switch {
		case err != nil:
			wait = k.failed(ctx, err)
		case did:
			k.changed, k.failures, k.written = false, 0, time.Now()
		default:
			k.changed, k.failures = false, 0
		}
	}
	if a.isReady() {
		k.notReady = firstNotReadyCheck
		if k.failures == 0 {
			k.onReady()
		}
		return wait
	}
	if a.gone() {
		return checkPeriod
	}
	wait, k.notReady = min(wait, k.notReady), min(2*k.notReady, notReadyCheck)
	return wait
}

func (k *keeper) failed(ctx context.Context, err error) time.Duration {
	k.failures++
	if k.failures >= 5 && ctx.Err() == nil {
		k.a.complain(&k.said, "cannot write the node's status", err)
	}
	return min(notReadyCheck<<min(k.failures, 6), checkPeriod)
}

func (a *Agent) isReady() bool {
	n, err := a.Node()
	if err != nil {
		return false
	}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// writeStatus writes the node's status if it has changed, or if it is due. It
// reports whether it did.
func (a *Agent) writeStatus(ctx context.Context, due bool) (bool, error) {
	have, err := a.Node()
	if a.gone() {
		return false, nil
	}
	if err != nil {
		if !a.register(ctx, func() {}) {
			return false, ctx.Err()
		}
		return true, nil
	}
	want := have.DeepCopy()
	a.setStatus(want)
	if !due && !statusChanged(&have.Status, &want.Status) {
		return false, nil
	}
	patch, err := patchOf(have, want)
	if err != nil {
		return false, err
	}
	updated, err := a.deps.Client.CoreV1().Nodes().Patch(ctx, a.cfg.NodeName, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	if apierrors.IsNotFound(err) {
		a.lose(have.UID)
	}
	if err != nil {
		return false, err
	}
	a.see(updated)
	return true, nil
}

// statusChanged compares all but the heartbeats.
func statusChanged(have, want *corev1.NodeStatus) bool {
	strip := func(s *corev1.NodeStatus) *corev1.NodeStatus {
		out := *s
		out.Conditions = slices.Clone(s.Conditions)
		for i := range out.Conditions {
			out.Conditions[i].LastHeartbeatTime = metav1.Time{}
		}
		return &out
	}
	return !equality.Semantic.DeepEqual(strip(have), strip(want))
}

func patchOf(have, want *corev1.Node) ([]byte, error) {
	before, err := json.Marshal(have)
	if err != nil {
		return nil, err
	}
	after, err := json.Marshal(want)
	if err != nil {
		return nil, err
	}
	return strategicpatch.CreateTwoWayMergePatch(before, after, corev1.Node{})
}
