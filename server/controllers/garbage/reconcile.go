package garbage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"

	"skiff/server/controller"
)

// settle is how long an owner's deletion waits at most for all resources to have
// been listed once, to know all of its dependents.
const settle = 30 * time.Second

// Reconcile implements controller.Reconciler.
func (c *collector) Reconcile(ctx context.Context, key string) (controller.Result, error) {
	n := c.graph.node(types.UID(key))
	if n == nil {
		return controller.Result{}, nil
	}
	if (n.orphan || n.foreground) && !c.settled() {
		return controller.Result{RequeueAfter: 100 * time.Millisecond}, nil
	}
	var err error
	switch {
	case n.orphan:
		err = c.orphan(ctx, n)
	case n.foreground:
		err = c.finishForeground(ctx, n)
	case n.deleting:
	default:
		err = c.collect(ctx, n)
	}
	var unknown *unknownKindError
	switch {
	case errors.As(err, &unknown):
		// The kind may come (its definition wakes the collector), or never.
		return controller.Result{RequeueAfter: 10 * time.Minute}, nil
	case apierrors.IsNotFound(err):
		return controller.Result{}, nil // n itself is gone, which its resource's watch will tell
	}
	return controller.Result{}, err
}

func (c *collector) settled() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.resources == nil {
		return false
	}
	if c.Clock.Since(c.discovered) > settle {
		return true
	}
	for _, m := range c.monitors {
		if !m.synced.Load() {
			return false
		}
	}
	return true
}

func (c *collector) client(n *node) metadata.ResourceInterface {
	if n.namespace == "" {
		return c.Metadata.Resource(n.gvr)
	}
	return c.Metadata.Resource(n.gvr).Namespace(n.namespace)
}

// live returns the object as it is now; an error that is NotFound if it is gone.
func (c *collector) live(ctx context.Context, n *node) (*metav1.PartialObjectMetadata, error) {
	o, err := c.client(n).Get(ctx, n.name, metav1.GetOptions{})
	if err == nil && o.UID != n.uid {
		err = apierrors.NewNotFound(n.gvr.GroupResource(), n.name)
	}
	return o, err
}

// orphan frees n's dependents and then n.
func (c *collector) orphan(ctx context.Context, n *node) error {
	var errs []error
	for _, d := range c.graph.of(n.uid) {
		if err := c.dropOwners(ctx, d, map[types.UID]bool{n.uid: true}); err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("orphaning %s failed: %w", d, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return c.dropFinalizer(ctx, n, metav1.FinalizerOrphanDependents)
}

// finishForeground lets n go if no dependent holds it any more, else sees that
// those go.
func (c *collector) finishForeground(ctx context.Context, n *node) error {
	waits := false
	var errs []error
	for _, d := range c.graph.of(n.uid) {
		if !slices.ContainsFunc(d.owners, func(r metav1.OwnerReference) bool { return r.UID == n.uid && blocks(r) }) {
			continue
		}
		waits = true
		if !d.deleting {
			// The dependent is also enqueued by itself; doing it here, too, makes
			// a deletion go on although its last try failed.
			if err := c.collect(ctx, d); err != nil && !apierrors.IsNotFound(err) {
				errs = append(errs, err)
			}
		}
	}
	if waits {
		return errors.Join(errs...) // the end of each dependent wakes n again
	}
	return c.dropFinalizer(ctx, n, metav1.FinalizerDeleteDependents)
}

// collect deletes n if none of its owners is left, or takes those owners out of
// its references that are gone or that wait for it to be gone.
func (c *collector) collect(ctx context.Context, n *node) error {
	if n.deleting || c.ownersCached(n) {
		return nil
	}
	latest, err := c.live(ctx, n)
	if err != nil {
		return err
	}
	if latest.DeletionTimestamp != nil || len(latest.OwnerReferences) == 0 {
		return nil
	}
	solid, rest, waiting, err := c.classify(ctx, n, latest.OwnerReferences)
	if err != nil {
		return err
	}
	switch {
	case solid && len(rest) == 0:
		return nil
	case solid:
		return c.patchOwners(ctx, n, latest, rest)
	case waiting && len(c.graph.of(n.uid)) > 0:
		return c.deleteInForeground(ctx, n, latest)
	}
	policy := metav1.DeletePropagationBackground
	switch {
	case slices.Contains(latest.Finalizers, metav1.FinalizerOrphanDependents):
		policy = metav1.DeletePropagationOrphan
	case slices.Contains(latest.Finalizers, metav1.FinalizerDeleteDependents):
		policy = metav1.DeletePropagationForeground
	}
	return c.delete(ctx, n, latest, policy)
}

// deleteInForeground deletes n after its own dependents. If one of these waits
// for others in turn, there may be a circle: n then no longer blocks its owners.
func (c *collector) deleteInForeground(ctx context.Context, n *node, latest *metav1.PartialObjectMetadata) error {
	if slices.ContainsFunc(c.graph.of(n.uid), func(d *node) bool { return d.foreground }) {
		refs := cloneRefs(latest.OwnerReferences)
		for i := range refs {
			no := false
			refs[i].BlockOwnerDeletion = &no
		}
		updated, err := c.patchRefs(ctx, n, latest, refs)
		if err != nil {
			return err
		}
		latest = updated
	}
	return c.delete(ctx, n, latest, metav1.DeletePropagationForeground)
}

func (c *collector) delete(ctx context.Context, n *node, latest *metav1.PartialObjectMetadata, policy metav1.DeletionPropagation) error {
	return c.client(n).Delete(ctx, n.name, metav1.DeleteOptions{
		Preconditions:     &metav1.Preconditions{UID: &n.uid, ResourceVersion: &latest.ResourceVersion},
		PropagationPolicy: &policy,
	})
}

// ownersCached tells whether all owners are in shared caches and none waits for
// its dependents: the usual case, which needs no request.
func (c *collector) ownersCached(n *node) bool {
	for _, r := range n.owners {
		res, err := c.resourceOf(r)
		if err != nil || c.Shared[res.gvr] == nil {
			return false
		}
		key := r.Name
		if res.namespaced {
			key = n.namespace + "/" + r.Name
		}
		obj, ok, err := c.Shared[res.gvr].GetIndexer().GetByKey(key)
		if err != nil || !ok {
			return false
		}
		o, ok := obj.(metav1.Object)
		if !ok || o.GetUID() != r.UID || waitsForDependents(o) {
			return false
		}
	}
	return true
}

func waitsForDependents(o metav1.Object) bool {
	return o.GetDeletionTimestamp() != nil && slices.Contains(o.GetFinalizers(), metav1.FinalizerDeleteDependents)
}

// classify looks at the owners: is there a solid one; which are not (any more),
// and is one of these waiting for its dependents to go.
func (c *collector) classify(ctx context.Context, n *node, refs []metav1.OwnerReference) (solid bool, rest map[types.UID]bool, waiting bool, err error) {
	rest = map[types.UID]bool{}
	for _, r := range refs {
		owner, err := c.owner(ctx, n, r)
		switch {
		case err != nil:
			return false, nil, false, err
		case owner == nil:
			rest[r.UID] = true
		case waitsForDependents(owner) && blocks(r):
			rest[r.UID] = true
			waiting = true
		default:
			solid = true
		}
	}
	return solid, rest, waiting, nil
}

// owner returns what r refers to, nil if that is gone.
func (c *collector) owner(ctx context.Context, n *node, r metav1.OwnerReference) (metav1.Object, error) {
	if c.graph.isAbsent(r.UID) {
		return nil, nil
	}
	res, err := c.resourceOf(r)
	if err != nil {
		return nil, err
	}
	if res.namespaced && n.namespace == "" {
		c.Events.Eventf(c.reference(n), corev1.EventTypeWarning, "OwnerRefInvalidNamespace",
			"ownerRef %s does not exist in namespace %q", describe(r, ""), "")
		return nil, &unknownKindError{r}
	}
	client := metadata.ResourceInterface(c.Metadata.Resource(res.gvr))
	if res.namespaced {
		client = c.Metadata.Resource(res.gvr).Namespace(n.namespace)
	}
	o, err := client.Get(ctx, r.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && o.UID != r.UID {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return o, nil
}

// unknownKindError says that an owner can't be looked for.
type unknownKindError struct{ ref metav1.OwnerReference }

func (e *unknownKindError) Error() string {
	return fmt.Sprintf("owner %s %s can't be resolved", e.ref.APIVersion, e.ref.Kind)
}

func (c *collector) resourceOf(r metav1.OwnerReference) (resource, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	res, ok := c.kinds[schema.FromAPIVersionAndKind(r.APIVersion, r.Kind)]
	if !ok {
		return resource{}, &unknownKindError{r}
	}
	return res, nil
}

// strange records that d names an owner in another namespace.
func (c *collector) strange(d *node, owner metav1.Object) {
	for _, r := range d.owners {
		if r.UID == owner.GetUID() {
			c.Events.Eventf(c.reference(d), corev1.EventTypeWarning, "OwnerRefInvalidNamespace",
				"ownerRef %s does not exist in namespace %q", describe(r, owner.GetNamespace()), d.namespace)
		}
	}
}

func describe(r metav1.OwnerReference, namespace string) string {
	return fmt.Sprintf("[%s/%s, namespace: %s, name: %s, uid: %s]", r.APIVersion, r.Kind, namespace, r.Name, r.UID)
}

func (n *node) String() string { return n.gvr.Resource + " " + n.namespace + "/" + n.name }

func (c *collector) reference(n *node) *corev1.ObjectReference {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &corev1.ObjectReference{
		APIVersion: n.gvr.GroupVersion().String(), Kind: c.resources[n.gvr].kind.Kind,
		Namespace: n.namespace, Name: n.name, UID: n.uid,
	}
}

// dropOwners takes owners out of n's references.
func (c *collector) dropOwners(ctx context.Context, n *node, drop map[types.UID]bool) error {
	latest, err := c.live(ctx, n)
	if err != nil {
		return err
	}
	return c.patchOwners(ctx, n, latest, drop)
}

func (c *collector) patchOwners(ctx context.Context, n *node, latest *metav1.PartialObjectMetadata, drop map[types.UID]bool) error {
	refs := []metav1.OwnerReference{}
	for _, r := range latest.OwnerReferences {
		if !drop[r.UID] {
			refs = append(refs, r)
		}
	}
	if len(refs) == len(latest.OwnerReferences) {
		return nil
	}
	_, err := c.patchRefs(ctx, n, latest, refs)
	return err
}

func (c *collector) patchRefs(ctx context.Context, n *node, latest *metav1.PartialObjectMetadata, refs []metav1.OwnerReference) (*metav1.PartialObjectMetadata, error) {
	return c.patch(ctx, n, map[string]any{"resourceVersion": latest.ResourceVersion, "uid": latest.UID, "ownerReferences": refs})
}

// dropFinalizer takes one of the collector's own finalizers off n.
func (c *collector) dropFinalizer(ctx context.Context, n *node, finalizer string) error {
	latest, err := c.live(ctx, n)
	if err != nil {
		return err
	}
	rest := slices.DeleteFunc(slices.Clone(latest.Finalizers), func(f string) bool { return f == finalizer })
	if len(rest) == len(latest.Finalizers) {
		return nil
	}
	_, err = c.patch(ctx, n, map[string]any{"resourceVersion": latest.ResourceVersion, "uid": latest.UID, "finalizers": rest})
	return err
}

// patch sends a JSON merge patch of metadata, which works for every kind.
func (c *collector) patch(ctx context.Context, n *node, meta map[string]any) (*metav1.PartialObjectMetadata, error) {
	b, err := json.Marshal(map[string]any{"metadata": meta})
	if err != nil {
		return nil, err
	}
	return c.client(n).Patch(ctx, n.name, types.MergePatchType, b, metav1.PatchOptions{})
}
