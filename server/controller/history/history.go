// Package history keeps the revisions of a workload's pod template as
// ControllerRevisions, for stateful sets and daemon sets.
//
// The data of a revision is {"spec":{"template":{…,"$patch":"replace"}}}, as
// kubectl rollout undo applies it.
package history

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/client-go/kubernetes"
	appslisters "k8s.io/client-go/listers/apps/v1"

	"skiff/server/controller/refs"
)

// Client reads and writes revisions.
type Client struct {
	API    kubernetes.Interface
	Lister appslisters.ControllerRevisionLister
}

// Owner is the workload whose revisions are meant.
type Owner struct {
	metav1.Object
	Kind     schema.GroupVersionKind
	Selector *metav1.LabelSelector
	// HashLabel is the label of a revision that holds its hash.
	HashLabel string
	// Live reads the owner from the API.
	Live func(ctx context.Context) (metav1.Object, error)
}

// List returns the owner's revisions, oldest first, after adoption.
func (c Client) List(ctx context.Context, o Owner) ([]*appsv1.ControllerRevision, error) {
	selector, err := metav1.LabelSelectorAsSelector(o.Selector)
	if err != nil {
		return nil, err
	}
	all, err := c.Lister.ControllerRevisions(o.GetNamespace()).List(labels.Everything())
	if err != nil {
		return nil, err
	}
	claimer := &refs.Claimer{
		Owner: o.Object, Kind: o.Kind, Selector: selector, Live: o.Live,
		Patch: func(ctx context.Context, name string, patch []byte) error {
			_, err := c.API.AppsV1().ControllerRevisions(o.GetNamespace()).Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
			return err
		},
	}
	own, err := refs.Claim(ctx, claimer, all, nil)
	Sort(own)
	return own, err
}

// Sort orders revisions, oldest first.
func Sort(revs []*appsv1.ControllerRevision) {
	slices.SortFunc(revs, func(a, b *appsv1.ControllerRevision) int {
		return cmp.Or(cmp.Compare(a.Revision, b.Revision), a.CreationTimestamp.Time.Compare(b.CreationTimestamp.Time), strings.Compare(a.Name, b.Name))
	})
}

// Next returns the number for a new revision.
func Next(revs []*appsv1.ControllerRevision) int64 {
	if len(revs) == 0 {
		return 1
	}
	return revs[len(revs)-1].Revision + 1
}

// New returns a revision of the template that is not stored yet.
func New(o Owner, template *corev1.PodTemplateSpec, revision int64, collisions int32) (*appsv1.ControllerRevision, error) {
	raw, err := Data(template)
	if err != nil {
		return nil, err
	}
	hash := hashOf(raw, collisions)
	rev := &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{
			Name: name(o.GetName(), hash), Namespace: o.GetNamespace(),
			Labels: maps.Clone(template.Labels), Annotations: maps.Clone(o.GetAnnotations()),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(o.Object, o.Kind)},
		},
		Data: runtime.RawExtension{Raw: raw}, Revision: revision,
	}
	if rev.Labels == nil {
		rev.Labels = map[string]string{}
	}
	rev.Labels[o.HashLabel] = hash
	return rev, nil
}

// Data returns the patch that a revision of the template holds.
func Data(template *corev1.PodTemplateSpec) ([]byte, error) {
	b, err := json.Marshal(template)
	if err != nil {
		return nil, err
	}
	var t map[string]any
	if err := json.Unmarshal(b, &t); err != nil {
		return nil, err
	}
	t["$patch"] = "replace"
	return json.Marshal(map[string]any{"spec": map[string]any{"template": t}})
}

// Template returns the pod template that a revision holds.
func Template(rev *appsv1.ControllerRevision) (*corev1.PodTemplateSpec, error) {
	var data struct {
		Spec struct {
			Template corev1.PodTemplateSpec `json:"template"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(rev.Data.Raw, &data); err != nil {
		return nil, fmt.Errorf("decode controller revision %s/%s: %w", rev.Namespace, rev.Name, err)
	}
	return &data.Spec.Template, nil
}

func name(prefix, hash string) string {
	if len(prefix) > 223 {
		prefix = prefix[:223]
	}
	return prefix + "-" + hash
}

func hashOf(raw []byte, collisions int32) string {
	h := fnv.New32()
	h.Write(raw)
	h.Write([]byte(strconv.Itoa(int(collisions))))
	return rand.SafeEncodeString(fmt.Sprint(h.Sum32()))
}

// Same tells whether two revisions are of the same template.
func Same(a, b *appsv1.ControllerRevision) bool {
	if bytes.Equal(a.Data.Raw, b.Data.Raw) {
		return true
	}
	// Stored data may come back with its keys in another order.
	var x, y any
	if json.Unmarshal(a.Data.Raw, &x) != nil || json.Unmarshal(b.Data.Raw, &y) != nil {
		return false
	}
	p, _ := json.Marshal(x)
	q, _ := json.Marshal(y)
	return bytes.Equal(p, q)
}

// Ensure makes want the newest of revs: as it is, by moving an older revision of
// the same template up, or by creating it. A name that another template took
// raises collisions, and the next name is tried.
func (c Client) Ensure(ctx context.Context, o Owner, template *corev1.PodTemplateSpec, revs []*appsv1.ControllerRevision, collisions *int32) (*appsv1.ControllerRevision, error) {
	want, err := New(o, template, Next(revs), *collisions)
	if err != nil {
		return nil, err
	}
	for i := len(revs) - 1; i >= 0; i-- {
		if !Same(revs[i], want) {
			continue
		}
		if i == len(revs)-1 {
			return revs[i], nil
		}
		up := revs[i].DeepCopy()
		up.Revision = want.Revision
		return c.API.AppsV1().ControllerRevisions(up.Namespace).Update(ctx, up, metav1.UpdateOptions{})
	}
	for {
		made, err := c.API.AppsV1().ControllerRevisions(want.Namespace).Create(ctx, want, metav1.CreateOptions{})
		if !apierrors.IsAlreadyExists(err) {
			return made, err
		}
		have, err := c.API.AppsV1().ControllerRevisions(want.Namespace).Get(ctx, want.Name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		if metav1.IsControlledBy(have, o.Object) && Same(have, want) {
			return have, nil // the cache was behind
		}
		*collisions++
		if want, err = New(o, template, want.Revision, *collisions); err != nil {
			return nil, err
		}
	}
}

// Truncate deletes the oldest revisions above limit that are not live.
func (c Client) Truncate(ctx context.Context, revs []*appsv1.ControllerRevision, limit *int32, live map[string]bool) error {
	if limit == nil || *limit < 0 {
		return nil
	}
	var old []*appsv1.ControllerRevision
	for _, r := range revs {
		if !live[r.Name] {
			old = append(old, r)
		}
	}
	for i := 0; i < len(old)-int(*limit); i++ {
		err := c.API.AppsV1().ControllerRevisions(old[i].Namespace).Delete(ctx, old[i].Name, *metav1.NewPreconditionDeleteOptions(string(old[i].UID)))
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return nil
}
