package agent

import (
	"context"
	"errors"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/component-helpers/nodedeclaredfeatures"
	"k8s.io/component-helpers/nodedeclaredfeatures/types"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"skiff/agent/container"
)

// runtimeState is what the runtime said about itself when it was last asked.
type runtimeState struct {
	// down is why no pod can run, network why none with a network of its own can; nil
	// if they can.
	down, network error
	features      *corev1.NodeFeatures
	handlers      []corev1.NodeRuntimeHandler
}

var errNotAsked = errors.New("container runtime status check may not have completed yet")

// lookAtRuntime asks the runtime about itself and the network, and reports whether
// its answer has changed.
func (a *Agent) lookAtRuntime(ctx context.Context) (changed bool) {
	resp, err := a.deps.Runtime.Status(ctx, &runtimeapi.StatusRequest{})
	was := a.runtime.Load()
	is := &runtimeState{features: was.features, handlers: was.handlers}
	if err != nil {
		is.down = errors.New("container runtime is down: " + err.Error())
	} else {
		is.down = condition(resp, runtimeapi.RuntimeReady, "container runtime is down")
		is.network = condition(resp, runtimeapi.NetworkReady, "container runtime network not ready")
		is.features, is.handlers = nodeFeatures(resp), runtimeHandlers(resp)
	}
	a.runtime.Store(is)
	return !sameText(was.down, is.down) || !sameText(was.network, is.network) || !equality.Semantic.DeepEqual(was.features, is.features) ||
		!equality.Semantic.DeepEqual(was.handlers, is.handlers)
}

func sameText(a, b error) bool {
	return a == nil && b == nil || a != nil && b != nil && a.Error() == b.Error()
}

func condition(resp *runtimeapi.StatusResponse, kind, text string) error {
	for _, c := range resp.GetStatus().GetConditions() {
		if c.Type == kind && !c.Status {
			return errors.New(text + ": " + kind + "=false reason:" + c.Reason + " message:" + c.Message)
		}
	}
	return nil
}

func nodeFeatures(resp *runtimeapi.StatusResponse) *corev1.NodeFeatures {
	if resp.Features == nil {
		return nil
	}
	return &corev1.NodeFeatures{SupplementalGroupsPolicy: &resp.Features.SupplementalGroupsPolicy}
}

func runtimeHandlers(resp *runtimeapi.StatusResponse) []corev1.NodeRuntimeHandler {
	var out []corev1.NodeRuntimeHandler
	for _, h := range resp.RuntimeHandlers {
		recursive, users := h.GetFeatures().GetRecursiveReadOnlyMounts(), h.GetFeatures().GetUserNamespaces()
		out = append(out, corev1.NodeRuntimeHandler{Name: h.Name, Features: &corev1.NodeRuntimeHandlerFeatures{
			RecursiveReadOnlyMounts: &recursive, UserNamespaces: &users,
		}})
	}
	slices.SortFunc(out, func(a, b corev1.NodeRuntimeHandler) int {
		switch {
		case a.Name < b.Name:
			return -1
		case a.Name > b.Name:
			return 1
		}
		return 0
	})
	return out
}

// networkReady is why a pod cannot have a network yet. While it is not ready, that
// is asked anew each time.
func (a *Agent) networkReady() error {
	rt := a.runtime.Load()
	if rt.down == nil && rt.network == nil {
		return nil
	}
	if a.lookAtRuntime(context.Background()) {
		a.statusSoon()
	}
	rt = a.runtime.Load()
	return errors.Join(rt.down, rt.network)
}

// features are what a runtime handler can do.
func (a *Agent) features(handler string) container.Features {
	for _, h := range a.runtime.Load().handlers {
		if h.Name == handler {
			return container.Features{RecursiveReadOnly: *h.Features.RecursiveReadOnlyMounts, UserNamespaces: *h.Features.UserNamespaces}
		}
	}
	return container.Features{}
}

// gates are the feature gates of upstream's kubelet, of those that a node tells
// about itself (KEP-5328), that this agent does as if they were on.
type gates map[string]bool

// Enabled implements types.FeatureGate.
func (g gates) Enabled(key string) bool { return g[key] }

// declaredFeatures are what pods may ask of this node.
func declaredFeatures() []string {
	return nodedeclaredfeatures.DefaultFramework.DiscoverNodeFeatures(&types.NodeConfiguration{FeatureGates: gates{
		"RestartAllContainersOnContainerExits": true,
		"ExtendWebSocketsToKubelet":            true,
	}})
}
