package agent

import (
	"context"
	"maps"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"skiff/agent/backoff"
)

// nodeHandler keeps the node's object as last seen, and has it looked at when
// somebody else has changed it.
func (a *Agent) nodeHandler() cache.ResourceEventHandler {
	take := func(obj any) {
		if n, ok := obj.(*corev1.Node); ok && n.Name == a.cfg.NodeName && a.see(n) {
			a.statusSoon()
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
				a.lose(n.UID)
				a.statusSoon()
			}
		},
	}
}

// see keeps the node's object as last seen, and reports whether it is news. What
// the informer brings and the answers to the agent's own writes overtake each
// other: the older one is not taken.
func (a *Agent) see(n *corev1.Node) (news bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.node != nil && a.node.UID == n.UID {
		if known(n.ResourceVersion, a.node.ResourceVersion) {
			return false
		}
		if a.node.Spec.Unschedulable != n.Spec.Unschedulable {
			a.events.nodeStatus(schedulable(n))
		}
	}
	if !a.found(n) {
		return false
	}
	if n.UID != "" && (a.node == nil || a.node.UID != n.UID) {
		a.events.refer(n.Name, n.UID)
	}
	a.node = n
	return true
}

func schedulable(n *corev1.Node) string {
	if n.Spec.Unschedulable {
		return "NodeNotSchedulable"
	}
	return "NodeSchedulable"
}

// statusSoon makes keepNode look at the node now.
func (a *Agent) statusSoon() {
	select {
	case a.statusNow <- struct{}{}:
	default:
	}
}

// register creates the node's object, or takes over the one that is there. It
// tries until it succeeds, and returns false if ctx ends. onReady is called, maybe
// more than once, when the node is ready without the API server.
func (a *Agent) register(ctx context.Context, onReady func()) bool {
	var said backoff.Seldom
	for delay := 50 * time.Millisecond; ; delay = min(2*delay, 7*time.Second) {
		n, err := a.registerOnce(ctx)
		if err == nil {
			a.see(n)
			a.mu.Lock()
			a.registered = true
			a.mu.Unlock()
			return true
		}
		if delay > time.Second && ctx.Err() == nil {
			a.complain(&said, "cannot register the node", err)
		}
		if a.lookAtRuntime(ctx); a.readyAlone() {
			onReady()
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
	fresh := a.newNode()
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

// known tells whether a resource version is not later than another. Those that
// are no numbers are taken as they come.
func known(version, have string) bool {
	x, errX := strconv.ParseUint(version, 10, 64)
	y, errY := strconv.ParseUint(have, 10, 64)
	return errX == nil && errY == nil && x <= y
}
