// Package objects reads the config maps and secrets that this node's pods refer
// to, and tells which pods are concerned when one changes.
//
// There are two Sources. Shared reads informers that hold every object of the
// cluster: right inside a server process, where they exist anyway. Watched
// follows each object that a pod here refers to with a watch of its own, which
// is all that the node authorizer allows a node.
package objects

import (
	"context"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
)

// Source reads config maps and secrets. Objects are shared and must not be
// modified. Errors are API status errors (apierrors.IsNotFound).
type Source interface {
	ConfigMap(ctx context.Context, namespace, name string) (*corev1.ConfigMap, error)
	Secret(ctx context.Context, namespace, name string) (*corev1.Secret, error)
	// Track follows what a pod refers to until Untrack. Calling it again with
	// the same pod is cheap.
	Track(pod *corev1.Pod)
	Untrack(uid types.UID)
	// OnChange sets the function that is told which pods refer to an object
	// that has changed. It must be set before the first Track.
	OnChange(func(pods []types.UID))
	// Close ends all watches and waits for them.
	Close()
}

// ref is an object that a pod refers to.
type ref struct {
	secret          bool
	namespace, name string
}

// notFound names the kind in the singular, as users know it from events.
func notFound(r ref) error {
	kind := "configmap"
	if r.secret {
		kind = "secret"
	}
	return apierrors.NewNotFound(corev1.Resource(kind), r.name)
}

// index knows which pods refer to which objects.
type index struct {
	mu     sync.Mutex
	byPod  map[types.UID]map[ref]bool
	byRef  map[ref]map[types.UID]bool
	notify func([]types.UID)
}

func newIndex() index {
	return index{byPod: map[types.UID]map[ref]bool{}, byRef: map[ref]map[types.UID]bool{}}
}

// track returns the refs that nobody referred to before.
func (x *index) track(pod *corev1.Pod) (added []ref) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, ok := x.byPod[pod.UID]; ok {
		// A pod's references are immutable but for ephemeral containers'.
		if len(pod.Spec.EphemeralContainers) == 0 {
			return nil
		}
	}
	refs := x.byPod[pod.UID]
	if refs == nil {
		refs = map[ref]bool{}
		x.byPod[pod.UID] = refs
	}
	visit(pod, func(r ref) {
		refs[r] = true
		users := x.byRef[r]
		if users == nil {
			users = map[types.UID]bool{}
			x.byRef[r] = users
			added = append(added, r)
		}
		users[pod.UID] = true
	})
	return added
}

// untrack returns the refs that nobody refers to any more.
func (x *index) untrack(uid types.UID) (removed []ref) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for r := range x.byPod[uid] {
		users := x.byRef[r]
		delete(users, uid)
		if len(users) == 0 {
			delete(x.byRef, r)
			removed = append(removed, r)
		}
	}
	delete(x.byPod, uid)
	return removed
}

// changed tells the pods that refer to r.
func (x *index) changed(r ref) {
	x.mu.Lock()
	var pods []types.UID
	for uid := range x.byRef[r] {
		pods = append(pods, uid)
	}
	notify := x.notify
	x.mu.Unlock()
	if len(pods) > 0 && notify != nil {
		notify(pods)
	}
}

// References calls fn with every config map and secret that the pod refers to.
func References(pod *corev1.Pod, fn func(secret bool, namespace, name string)) {
	visit(pod, func(r ref) { fn(r.secret, r.namespace, r.name) })
}

// visit calls fn with every config map and secret that the pod refers to.
func visit(pod *corev1.Pod, fn func(ref)) {
	ns := pod.Namespace
	add := func(secret bool, name string) {
		if name != "" {
			fn(ref{secret, ns, name})
		}
	}
	for _, s := range pod.Spec.ImagePullSecrets {
		add(true, s.Name)
	}
	for i := range pod.Spec.Volumes {
		visitVolume(&pod.Spec.Volumes[i], add)
	}
	for i := range pod.Spec.InitContainers {
		visitContainer(pod.Spec.InitContainers[i].Env, pod.Spec.InitContainers[i].EnvFrom, add)
	}
	for i := range pod.Spec.Containers {
		visitContainer(pod.Spec.Containers[i].Env, pod.Spec.Containers[i].EnvFrom, add)
	}
	for i := range pod.Spec.EphemeralContainers {
		visitContainer(pod.Spec.EphemeralContainers[i].Env, pod.Spec.EphemeralContainers[i].EnvFrom, add)
	}
}

func visitVolume(v *corev1.Volume, add func(bool, string)) {
	switch {
	case v.ConfigMap != nil:
		add(false, v.ConfigMap.Name)
	case v.Secret != nil:
		add(true, v.Secret.SecretName)
	case v.Projected != nil:
		for _, s := range v.Projected.Sources {
			if s.ConfigMap != nil {
				add(false, s.ConfigMap.Name)
			}
			if s.Secret != nil {
				add(true, s.Secret.Name)
			}
		}
	}
}

func visitContainer(env []corev1.EnvVar, from []corev1.EnvFromSource, add func(bool, string)) {
	for _, e := range env {
		if e.ValueFrom != nil && e.ValueFrom.ConfigMapKeyRef != nil {
			add(false, e.ValueFrom.ConfigMapKeyRef.Name)
		}
		if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
			add(true, e.ValueFrom.SecretKeyRef.Name)
		}
	}
	for _, f := range from {
		if f.ConfigMapRef != nil {
			add(false, f.ConfigMapRef.Name)
		}
		if f.SecretRef != nil {
			add(true, f.SecretRef.Name)
		}
	}
}
