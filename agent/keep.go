package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/tools/cache"
)

// How often the node's state is looked at: it is written only if it differs.
// While the node is not ready that is more and more seldom: what it waits for,
// such as the runtime's taking up the network, mostly takes milliseconds.
const (
	checkPeriod        = 10 * time.Second
	firstNotReadyCheck = 5 * time.Millisecond
	notReadyCheck      = 200 * time.Millisecond
)

// keepNode registers the node and keeps its object true, until ctx ends.
func (a *Agent) keepNode(ctx context.Context) error {
	changed := make(chan struct{}, 1)
	reg, err := a.deps.Nodes.AddEventHandler(a.nodeHandler(changed))
	if err != nil {
		return fmt.Errorf("follow the node: %w", err)
	}
	defer a.deps.Nodes.RemoveEventHandler(reg)
	if !a.register(ctx) {
		return ctx.Err()
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	var written time.Time
	notReady := firstNotReadyCheck
	for failures := 0; ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
			notReady = firstNotReadyCheck
		case <-a.statusNow:
		case <-timer.C:
		}
		a.adoptCIDRs()
		wait := checkPeriod
		did, err := a.writeStatus(ctx, time.Since(written) >= a.cfg.StatusPeriod)
		switch {
		case err != nil && ctx.Err() == nil:
			failures++
			wait = min(notReadyCheck<<min(failures, 6), checkPeriod)
			if failures == 5 {
				a.log.Warn("cannot write the node's status", "node", a.cfg.NodeName, "err", err)
			}
		case did:
			failures, written = 0, time.Now()
		default:
			failures = 0
		}
		if a.isReady() {
			notReady = firstNotReadyCheck
		} else {
			wait, notReady = min(wait, notReady), min(2*notReady, notReadyCheck)
		}
		timer.Reset(wait)
	}
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

// nodeHandler keeps the node's object as last seen.
func (a *Agent) nodeHandler(changed chan<- struct{}) cache.ResourceEventHandler {
	take := func(obj any) {
		n, ok := obj.(*corev1.Node)
		if !ok || n.Name != a.cfg.NodeName {
			return
		}
		if a.see(n) {
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    take,
		UpdateFunc: func(_, obj any) { take(obj) },
		DeleteFunc: func(obj any) {
			if tomb, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = tomb.Obj
			}
			if n, ok := obj.(*corev1.Node); ok && n.Name == a.cfg.NodeName {
				a.mu.Lock()
				a.node = nil
				a.mu.Unlock()
				a.statusSoon()
			}
		},
	}
}

// see keeps the node's object as last seen, and reports whether its address
// blocks are other ones than before. What the informer brings and the answers to
// the agent's own writes overtake each other: the older one is not taken.
func (a *Agent) see(n *corev1.Node) (newBlocks bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.node != nil && a.node.UID == n.UID && olderVersion(n.ResourceVersion, a.node.ResourceVersion) {
		return false
	}
	newBlocks = a.node != nil && !slices.Equal(podCIDRs(a.node), podCIDRs(n))
	a.node = n
	return newBlocks
}

// statusSoon makes keepNode look at the node now.
func (a *Agent) statusSoon() {
	select {
	case a.statusNow <- struct{}{}:
	default:
	}
}

// register creates the node's object, or takes over the one that is there. It
// tries until it succeeds, and returns false if ctx ends.
func (a *Agent) register(ctx context.Context) bool {
	for delay := 50 * time.Millisecond; ; delay = min(2*delay, 7*time.Second) {
		n, err := a.registerOnce(ctx)
		if err == nil {
			a.see(n)
			return true
		}
		if delay > time.Second && ctx.Err() == nil {
			a.log.Warn("cannot register the node", "node", a.cfg.NodeName, "err", err)
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(delay):
		}
	}
}

func (a *Agent) registerOnce(ctx context.Context) (*corev1.Node, error) {
	nodes := a.deps.Client.CoreV1().Nodes()
	fresh := a.newNode(ctx)
	created, err := nodes.Create(ctx, fresh, metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		return created, err
	}
	have, err := nodes.Get(ctx, a.cfg.NodeName, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	// Taints belong to the administrator by now; labels are ours where we set them.
	want := have.DeepCopy()
	if want.Labels == nil {
		want.Labels = map[string]string{}
	}
	maps.Copy(want.Labels, a.labels())
	if want.Spec.ProviderID == "" {
		want.Spec.ProviderID = a.cfg.ProviderID
	}
	if equality.Semantic.DeepEqual(have, want) {
		return have, nil
	}
	patch, err := patchOf(have, want)
	if err != nil {
		return nil, err
	}
	return nodes.Patch(ctx, a.cfg.NodeName, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
}

// writeStatus writes the node's status if it has changed, or if it is due. It
// reports whether it did.
func (a *Agent) writeStatus(ctx context.Context, due bool) (bool, error) {
	have, err := a.Node()
	if err != nil {
		if !a.register(ctx) {
			return false, ctx.Err()
		}
		return true, nil
	}
	want := have.DeepCopy()
	a.setStatus(ctx, want)
	if !due && !statusChanged(&have.Status, &want.Status) {
		return false, nil
	}
	patch, err := patchOf(have, want)
	if err != nil {
		return false, err
	}
	updated, err := a.deps.Client.CoreV1().Nodes().Patch(ctx, a.cfg.NodeName, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	if apierrors.IsNotFound(err) {
		a.mu.Lock()
		a.node = nil
		a.mu.Unlock()
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

// adoptCIDRs tells the network the node's address blocks.
func (a *Agent) adoptCIDRs() {
	n, err := a.Node()
	if err != nil || a.deps.OnPodCIDRs == nil {
		return
	}
	cidrs := podCIDRs(n)
	a.mu.Lock()
	same := slices.Equal(cidrs, a.cidrs) && a.cidrErr == nil
	a.mu.Unlock()
	if same || len(cidrs) == 0 {
		return
	}
	if err = a.deps.OnPodCIDRs(cidrs); err != nil {
		err = fmt.Errorf("pod network %v could not be set up: %w", cidrs, err)
	}
	a.mu.Lock()
	a.cidrs, a.cidrErr = cidrs, err
	a.mu.Unlock()
}

func podCIDRs(n *corev1.Node) []string {
	if len(n.Spec.PodCIDRs) > 0 {
		return n.Spec.PodCIDRs
	}
	if n.Spec.PodCIDR != "" {
		return []string{n.Spec.PodCIDR}
	}
	return nil
}

// olderVersion compares resource versions; those that are no numbers are taken
// as they come.
func olderVersion(a, b string) bool {
	x, errX := strconv.ParseUint(a, 10, 64)
	y, errY := strconv.ParseUint(b, 10, 64)
	return errX == nil && errY == nil && x < y
}
