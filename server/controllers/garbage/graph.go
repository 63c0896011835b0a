package garbage

import (
	"slices"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// node is an object that has owners or waits for its dependents. It is replaced
// as a whole, never modified.
type node struct {
	gvr             schema.GroupVersionResource
	namespace, name string
	uid             types.UID
	owners          []metav1.OwnerReference
	// deleting tells that the object has a deletion timestamp; foreground and
	// orphan, which finalizer it has for its dependents then.
	deleting, foreground, orphan bool
}

// graph indexes nodes by the UIDs of their owners.
type graph struct {
	mu         sync.Mutex
	nodes      map[types.UID]*node
	dependents map[types.UID]map[types.UID]*node
	// absent are UIDs that were seen to be deleted, the latest of them.
	absent map[types.UID]bool
	order  []types.UID
}

// absentLimit bounds how many deleted owners are remembered; others are looked
// for live.
const absentLimit = 500

func newGraph() *graph {
	return &graph{nodes: map[types.UID]*node{}, dependents: map[types.UID]map[types.UID]*node{}, absent: map[types.UID]bool{}}
}

// put takes in an object as it is now, and enqueues what has to be looked at: the
// object if its owners are new, or if it begins to wait for its dependents; these
// as well; and an owner that this object held up and no longer does.
func (g *graph) put(gvr schema.GroupVersionResource, o metav1.Object, enqueue func(string)) {
	n := &node{gvr: gvr, namespace: o.GetNamespace(), name: o.GetName(), uid: o.GetUID(), deleting: o.GetDeletionTimestamp() != nil}
	if n.deleting {
		f := o.GetFinalizers()
		n.foreground = slices.Contains(f, metav1.FinalizerDeleteDependents)
		n.orphan = slices.Contains(f, metav1.FinalizerOrphanDependents)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	old := g.nodes[n.uid]
	refs := o.GetOwnerReferences()
	if len(refs) == 0 && !n.foreground && !n.orphan {
		if old != nil {
			g.unlink(old, enqueue)
		}
		return
	}
	if old != nil && slices.EqualFunc(old.owners, refs, sameRef) {
		n.owners = old.owners
		if old.deleting == n.deleting && old.foreground == n.foreground && old.orphan == n.orphan {
			return
		}
	} else {
		n.owners = cloneRefs(refs)
	}
	if old != nil {
		g.unlink(old, nil)
	}
	g.link(n)
	if old != nil {
		g.freed(old, n, enqueue)
	}
	switch {
	case n.orphan, n.foreground:
		enqueue(string(n.uid))
		for uid := range g.dependents[n.uid] {
			enqueue(string(uid))
		}
	case !n.deleting && (old == nil || !slices.EqualFunc(old.owners, refs, sameRef)):
		enqueue(string(n.uid))
	}
}

// cloneRefs copies the references without keeping the object that they are of.
func cloneRefs(refs []metav1.OwnerReference) []metav1.OwnerReference {
	out := make([]metav1.OwnerReference, len(refs))
	for i, r := range refs {
		out[i] = *r.DeepCopy()
	}
	return out
}

func sameRef(a, b metav1.OwnerReference) bool {
	return a.UID == b.UID && a.APIVersion == b.APIVersion && a.Kind == b.Kind && a.Name == b.Name && blocks(a) == blocks(b)
}

func blocks(r metav1.OwnerReference) bool {
	return r.BlockOwnerDeletion != nil && *r.BlockOwnerDeletion
}

// freed enqueues the owners that wait for old and no longer have to.
func (g *graph) freed(old, n *node, enqueue func(string)) {
	for _, r := range old.owners {
		if !blocks(r) || slices.ContainsFunc(n.owners, func(s metav1.OwnerReference) bool { return s.UID == r.UID && blocks(s) }) {
			continue
		}
		if o := g.nodes[r.UID]; o != nil && o.foreground {
			enqueue(string(o.uid))
		}
	}
}

func (g *graph) link(n *node) {
	g.nodes[n.uid] = n
	for _, r := range n.owners {
		if g.dependents[r.UID] == nil {
			g.dependents[r.UID] = map[types.UID]*node{}
		}
		g.dependents[r.UID][n.uid] = n
	}
}

// unlink takes n out, and enqueues the owners that waited for it.
func (g *graph) unlink(n *node, enqueue func(string)) {
	delete(g.nodes, n.uid)
	for _, r := range n.owners {
		delete(g.dependents[r.UID], n.uid)
		if len(g.dependents[r.UID]) == 0 {
			delete(g.dependents, r.UID)
		}
		if o := g.nodes[r.UID]; enqueue != nil && o != nil && o.foreground {
			enqueue(string(o.uid))
		}
	}
}

// remove takes out an object that is gone and enqueues its dependents.
func (g *graph) remove(uid types.UID, enqueue func(string)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if n := g.nodes[uid]; n != nil {
		g.unlink(n, enqueue)
	}
	deps := g.dependents[uid]
	if len(deps) == 0 {
		return
	}
	g.forgetOwner(uid)
	for d := range deps {
		enqueue(string(d))
	}
}

func (g *graph) forgetOwner(uid types.UID) {
	if g.absent[uid] {
		return
	}
	if len(g.order) >= absentLimit {
		delete(g.absent, g.order[0])
		g.order = g.order[1:]
	}
	g.absent[uid] = true
	g.order = append(g.order, uid)
}

func (g *graph) node(uid types.UID) *node {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.nodes[uid]
}

func (g *graph) isAbsent(uid types.UID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.absent[uid]
}

// of returns the dependents of an owner.
func (g *graph) of(uid types.UID) []*node {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]*node, 0, len(g.dependents[uid]))
	for _, n := range g.dependents[uid] {
		out = append(out, n)
	}
	return out
}

// strangers returns the dependents of o that are in another namespace than it.
func (g *graph) strangers(o metav1.Object) []*node {
	g.mu.Lock()
	defer g.mu.Unlock()
	if o.GetNamespace() == "" {
		return nil
	}
	var out []*node
	for _, n := range g.dependents[o.GetUID()] {
		if n.namespace != o.GetNamespace() {
			out = append(out, n)
		}
	}
	return out
}

// replaced takes in that a resource has exactly these objects: others of it are
// gone, and those that name a missing one as owner are enqueued.
func (g *graph) replaced(gvr schema.GroupVersionResource, isKind func(metav1.OwnerReference) bool, have map[types.UID]bool, enqueue func(string)) {
	g.mu.Lock()
	var gone []types.UID
	for uid, n := range g.nodes {
		if n.gvr == gvr && !have[uid] {
			gone = append(gone, uid)
		}
		for _, r := range n.owners {
			if !have[r.UID] && isKind(r) {
				enqueue(string(uid))
			}
		}
	}
	g.mu.Unlock()
	for _, uid := range gone {
		g.remove(uid, enqueue)
	}
}

// each calls f for every node's UID.
func (g *graph) each(f func(string)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for uid := range g.nodes {
		f(string(uid))
	}
}
