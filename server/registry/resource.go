// Package registry is the generic resource store of the API server: it turns the
// verbs of the Kubernetes API on any resource into reads, transactions and
// watches of package store.
//
// A resource is described, not programmed: a Resource value names its versions,
// its Rules (defaults, preparation, validation), its Table columns and its
// subresources. The API groups' packages below this one return such values, and
// package builtin lists them all in one table. Custom resources make the same
// values at run time.
package registry

import (
	"context"
	"net/http"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Object is an API object as it is held in memory: the Go type of the
// resource's storage version, from k8s.io/api.
type Object interface {
	runtime.Object
	metav1.Object
}

// Resource describes one resource of the API.
type Resource struct {
	// Group is the API group, "" for core.
	Group string
	// Plural, Singular, ShortNames and Categories are the names by which clients
	// find the resource ("pods", "pod", "po", "all").
	Plural, Singular       string
	ShortNames, Categories []string
	// Kind is the object's kind; the list's kind is Kind+"List".
	Kind       string
	Namespaced bool
	// Versions are the served ones, in order of preference. The one with a nil
	// ToHub is the storage version and the type in memory; there is exactly one.
	Versions []Version
	// Verbs, if not nil, are the only ones served on the main resource
	// (e.g. only "create" for reviews). Nil means all of them.
	Verbs []string

	Rules Rules
	// Fields returns what field selectors can select besides metadata.name and
	// metadata.namespace. Nil if there is nothing more.
	Fields func(Object) fields.Set
	// FieldNames are the keys that Fields can return.
	FieldNames []string
	// WireFields are those of FieldNames that are what they are called: a string in
	// that field of the storage version, which is selected by without decoding the
	// object.
	WireFields []string
	// Columns are those of the Table that kubectl prints, without the rows'
	// cells; nil means Name and Created At.
	Columns []metav1.TableColumnDefinition
	// Cells returns one object's cells, as many as Columns. Relative times
	// (ages) are computed here.
	Cells func(Object) []any
	// Volatile tells whether a write of obj over old (nil on create) may be lost
	// by a power cut; see store.Op.
	Volatile func(obj, old Object) bool
	// TTL, if not nil, returns the seconds after which the object is removed.
	TTL func(Object) int64
	// StoredAs names the resource whose objects these are, seen through another
	// API group (events.k8s.io over the core group's events). Versions then all
	// convert to and from that resource's type in memory. Nil for a resource with
	// objects of its own.
	StoredAs *schema.GroupResource
	// ReturnsDeleted tells that a delete answers with the removed object (pods,
	// services, service accounts, ...) instead of a Status. It holds without
	// saying for resources with Rules.Grace or Rules.HoldsDeletion.
	ReturnsDeleted bool

	Subresources []Subresource

	// Create, if not nil, answers a create without storing anything
	// (reviews).
	Create func(ctx context.Context, obj runtime.Object, opts *metav1.CreateOptions) (runtime.Object, error)
}

// Version is one served version of a resource.
type Version struct {
	Name string
	New  func() runtime.Object
	// NewList is nil for resources that cannot be listed.
	NewList func() runtime.Object
	// ToHub and FromHub convert between this version and the one in memory; ToHub
	// is nil for the storage version itself, which has a FromHub only if clients
	// that do not read protobuf see more than is stored. They do not modify what
	// they are given.
	ToHub   func(in runtime.Object) (Object, error)
	FromHub func(in Object) (runtime.Object, error)
	// Deprecated, if not empty, is what clients of this version are warned of, e.g.
	// "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice".
	Deprecated string
}

// Rules are what distinguishes a resource in a write. Any of them may be nil.
// They get objects that they may modify in place where the comment says so, and
// never keep them.
//
//	create: Default → admission (mutating) → PrepareCreate → Allocate → Validate → admission (validating) → write
//	update: Default → admission (mutating) → PrepareUpdate → Allocate → ValidateUpdate → admission (validating) → write
type Rules struct {
	// Default fills the fields that the client left out, in place.
	Default func(Object)
	// PrepareCreate drops what clients may not set (status), and sets what the
	// server sets, in place. Generic metadata (uid, creationTimestamp,
	// generation 1, generateName) is done by the generic store.
	PrepareCreate func(ctx context.Context, obj Object)
	// PrepareUpdate carries over from old what this update may not change
	// (status), in place. The generic store has dealt with metadata; it bumps
	// metadata.generation if the object changed outside metadata and status,
	// for resources with Generation set.
	PrepareUpdate func(ctx context.Context, obj, old Object)
	// Generation tells that the resource's metadata.generation is maintained.
	Generation bool
	// Validate checks an object to be created. Object metadata's common rules
	// (name with ValidateName, labels, annotations, owner references,
	// finalizers) are checked by the generic store.
	Validate func(ctx context.Context, obj Object) field.ErrorList
	// ValidateUpdate checks an update; it includes what Validate checks where
	// that applies to updates. Immutable metadata is checked by the generic
	// store.
	ValidateUpdate func(ctx context.Context, obj, old Object) field.ErrorList
	// ValidateName returns what is wrong with a name (or with a generateName's
	// prefix); nil means a DNS-1123 subdomain.
	ValidateName func(name string, prefix bool) []string
	// FreeFinalizers allows finalizers without a domain that are not Kubernetes'
	// own, in kinds which are not defined by Kubernetes' core.
	FreeFinalizers bool
	// PlainMetadata leaves out the checks of metadata that go by the kind: any
	// name that fits into a path will do, and any finalizer. A new object's
	// metadata is looked at only if Validate finds nothing.
	PlainMetadata bool
	// Warnings returns texts for Warning headers (RFC 7234 5.5); old is nil on
	// create.
	Warnings func(ctx context.Context, obj, old Object) []string
	// Allocate sets what must be unique in the cluster (service addresses, node
	// ports), in place; old is nil on create. It is called again if a claim that
	// it made was taken meanwhile.
	Allocate func(ctx context.Context, r Reader, obj, old Object) error
	// Claims are store keys that exist exactly as long as the object claims
	// them; two objects never hold the same one. They are written in the
	// object's own transaction.
	Claims func(Object) []Claim
	// CreateOnUpdate allows PUT to create a missing object (leases, endpoints, ...).
	CreateOnUpdate bool
	// AllowUnconditionalUpdate allows an update without a resourceVersion.
	AllowUnconditionalUpdate bool
	// Grace returns the seconds that a delete of obj waits for whoever confirms
	// it (pods: the agent); nil or 0 removes at once. It may modify obj in place
	// where the delete leaves a trace in it.
	Grace func(obj Object, opts *metav1.DeleteOptions) int64
	// HoldsDeletion tells that obj may not be removed yet although it has no
	// finalizers in its metadata (namespaces: spec.finalizers).
	HoldsDeletion func(obj Object) bool
	// PrepareDelete marks an object whose deletion begins but is held
	// (namespaces: status.phase), in place.
	PrepareDelete func(obj Object)
	// DefaultPropagation applies where the client names none; "" is background.
	DefaultPropagation metav1.DeletionPropagation
}

// Claim is a store key held by an object for as long as it lives.
type Claim struct {
	// Key is a full store key, e.g. "claims/nodeport/30080", or that of an
	// object which is made and removed along (ipaddresses.networking.k8s.io/...).
	Key string
	// Object is stored under Key; nil stores the holder's key.
	Object Object
	// What names the claim in the message about a conflict ("provided port is
	// already allocated").
	What string
}

// Reader is what Allocate may look at.
type Reader interface {
	// Exists tells whether a claim's key is taken.
	Exists(ctx context.Context, key string) (bool, error)
	// List returns the objects of a resource ("services", "nodes"), all
	// namespaces; read-only, possibly stale.
	List(ctx context.Context, resource schema.GroupResource) ([]Object, error)
}

// Subresource describes one path element behind an object's name. Exactly one of
// Update, Scale, Create and Connect is set.
type Subresource struct {
	// Name is the path element: "status", "scale", "log".
	Name string
	// Kind is that of the request and response where it is not the resource's
	// own (Scale, Eviction, Binding, TokenRequest).
	Kind schema.GroupVersionKind
	// Update is a partial update of the object itself (status, approval,
	// finalize, ephemeralcontainers, resize): GET, PUT and PATCH under its own
	// rules.
	Update *Rules
	// Scale serves autoscaling/v1 Scale: GET, PUT and PATCH.
	Scale *Scale
	// Create serves a POST (binding, eviction, token).
	Create func(ctx context.Context, s Objects, namespace, name string, obj runtime.Object, opts *metav1.CreateOptions) (runtime.Object, error)
	// New returns the object that Create decodes, or the options of a Connect as
	// admission sees them; a Connect without (log) is none for admission.
	New func() runtime.Object
	// Connect serves any method by itself (log, exec, attach, portforward,
	// proxy). path is what follows the subresource's name.
	Connect func(s Objects, namespace, name, path string) (http.Handler, error)
	// Verbs are the API verbs that a Connect is advertised with, and the only ones
	// of an Update if not nil.
	Verbs []string
}

// Scale gets and sets the replica count of an object.
type Scale struct {
	Get func(Object) (*autoscalingv1.Scale, error)
	Set func(obj Object, replicas int32)
}

// Objects is the generic store of one resource, as its subresources see it.
type Objects interface {
	// Get returns the object; callers may modify it.
	Get(ctx context.Context, namespace, name string) (Object, error)
	// Modify reads the object, applies change to a copy and writes it, again and
	// again if others changed it meanwhile, until change or the write returns an
	// error. rules are applied as in an update.
	Modify(ctx context.Context, namespace, name string, rules *Rules, change func(Object) error) (Object, error)
	// Delete deletes the object as the API does.
	Delete(ctx context.Context, namespace, name string, opts *metav1.DeleteOptions) (runtime.Object, error)
	// Of returns the generic store of another resource.
	Of(resource schema.GroupResource) (Objects, bool)
}
