// Package controllertest runs controllers against a small API server in memory,
// in virtual time.
//
// The API keeps the semantics that controllers depend on (resource versions and
// conflicts, UIDs, generations, status subresources, finalizers, graceful
// deletion, preconditions, selectors, watches, strategic merge patches, generated
// names) and knows nothing of defaults and validation. Faults can be injected
// into any call. Tests of a controller are scripts; see Run.
package controllertest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// object is one stored object in its JSON form.
type object = unstructured.Unstructured

// event is one change, as watches replay it.
type event struct {
	rv       int64
	resource schema.GroupVersionResource
	kind     string // ADDED, MODIFIED, DELETED
	obj      *object
	was      *object
}

// resource is a served kind.
type resource struct {
	gvr        schema.GroupVersionResource
	kind       string
	namespaced bool
	status     bool
}

// API is an API server in memory. It implements http.RoundTripper.
type API struct {
	// Fault, if not nil, is called before each request with its verb (get, list,
	// watch, create, update, patch, delete, deletecollection) and resource
	// ("pods", "pods/status"). An error becomes the response; with after set the
	// call is carried out all the same, as when a connection breaks.
	Fault func(verb, resource string) (err error, after bool)

	mu        sync.Mutex
	rv        int64
	names     int
	resources map[schema.GroupVersionResource]*resource
	objects   map[schema.GroupVersionResource]map[string]*object
	history   []event
	changed   chan struct{}
	writes    int
}

// clusterScoped are the kinds without a namespace.
var clusterScoped = []string{
	"Node", "Namespace", "PersistentVolume", "ClusterRole", "ClusterRoleBinding", "CertificateSigningRequest",
	"PriorityClass", "StorageClass", "ServiceCIDR", "IPAddress", "RuntimeClass", "IngressClass", "VolumeAttachment",
}

// groups are the served group versions.
var groups = []string{
	"v1", "apps/v1", "batch/v1", "autoscaling/v2", "discovery.k8s.io/v1", "policy/v1", "coordination.k8s.io/v1",
	"rbac.authorization.k8s.io/v1", "certificates.k8s.io/v1", "networking.k8s.io/v1", "scheduling.k8s.io/v1", "storage.k8s.io/v1",
}

// NewAPI returns an empty API that serves the kinds controllers use.
func NewAPI() *API {
	a := &API{
		resources: map[schema.GroupVersionResource]*resource{},
		objects:   map[schema.GroupVersionResource]map[string]*object{},
		changed:   make(chan struct{}),
	}
	for _, g := range groups {
		gv, _ := schema.ParseGroupVersion(g)
		for kind, typ := range scheme.Scheme.KnownTypes(gv) {
			_, isList := typ.FieldByName("Items")
			if _, hasMeta := typ.FieldByName("ObjectMeta"); isList || !hasMeta {
				continue
			}
			gvr, _ := meta.UnsafeGuessKindToResource(gv.WithKind(kind))
			_, status := typ.FieldByName("Status")
			a.resources[gvr] = &resource{gvr: gvr, kind: kind, namespaced: !slices.Contains(clusterScoped, kind), status: status}
		}
	}
	return a
}

// Config returns a client configuration for the API.
func (a *API) Config() *rest.Config {
	return &rest.Config{
		Host: "http://api.test", Transport: a, QPS: -1,
		ContentConfig: rest.ContentConfig{ContentType: "application/json", AcceptContentTypes: "application/json"},
	}
}

// Writes returns the number of changes made so far.
func (a *API) Writes() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.writes
}

// RoundTrip implements http.RoundTripper.
func (a *API) RoundTrip(req *http.Request) (*http.Response, error) {
	r, err := a.parse(req)
	if err != nil {
		return respondError(req, err), nil
	}
	if r.discovery != nil {
		return respond(req, 200, r.discovery), nil
	}
	if a.Fault != nil {
		name := r.res.gvr.Resource
		if r.sub != "" {
			name += "/" + r.sub
		}
		if ferr, after := a.Fault(r.verb, name); ferr != nil {
			if after && r.verb != "watch" {
				_, _ = a.serve(r)
			}
			return respondError(req, ferr), nil
		}
	}
	if r.verb == "watch" {
		return a.watch(r)
	}
	out, err := a.serve(r)
	if err != nil {
		return respondError(req, err), nil
	}
	code := 200
	if r.verb == "create" {
		code = 201
	}
	return respond(req, code, out), nil
}

func (a *API) serve(r *request) (any, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch r.verb {
	case "get":
		o, err := a.find(r)
		if err != nil {
			return nil, err
		}
		return r.shape(o), nil
	case "list":
		return a.list(r), nil
	case "create":
		return a.create(r)
	case "update", "patch":
		return a.update(r)
	case "delete":
		return a.delete(r, r.name)
	case "deletecollection":
		for _, o := range a.matching(r) {
			r2 := *r
			r2.namespace = o.GetNamespace()
			if _, err := a.delete(&r2, o.GetName()); err != nil && !apierrors.IsNotFound(err) {
				return nil, err
			}
		}
		return &metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Success"}, nil
	}
	return nil, apierrors.NewMethodNotSupported(r.gr(), r.verb)
}

func (a *API) find(r *request) (*object, error) {
	o := a.objects[r.res.gvr][r.namespace+"/"+r.name]
	if o == nil {
		return nil, apierrors.NewNotFound(r.gr(), r.name)
	}
	return o, nil
}

func (a *API) matching(r *request) []*object {
	var out []*object
	for _, o := range a.objects[r.res.gvr] {
		if r.selects(o) {
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(x, y *object) int {
		return strings.Compare(x.GetNamespace()+"/"+x.GetName(), y.GetNamespace()+"/"+y.GetName())
	})
	return out
}

func (a *API) list(r *request) any {
	items := []any{}
	for _, o := range a.matching(r) {
		items = append(items, r.shape(o))
	}
	kind, version := r.res.kind+"List", r.res.gvr.GroupVersion().String()
	if r.partial {
		kind, version = "PartialObjectMetadataList", "meta.k8s.io/v1"
	}
	return map[string]any{
		"kind": kind, "apiVersion": version, "items": items,
		"metadata": map[string]any{"resourceVersion": strconv.FormatInt(a.rv, 10)},
	}
}

func (a *API) create(r *request) (any, error) {
	o, err := r.body.decode()
	if err != nil {
		return nil, err
	}
	if r.sub != "" {
		return a.createSub(r, o)
	}
	o.SetNamespace(r.namespace)
	if o.GetName() == "" {
		a.names++
		o.SetName(fmt.Sprintf("%s%05d", o.GetGenerateName(), a.names))
	}
	if r.namespace != "" {
		ns := a.objects[schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}]["/"+r.namespace]
		if ns != nil && ns.GetDeletionTimestamp() != nil {
			err := apierrors.NewForbidden(r.gr(), o.GetName(), fmt.Errorf("unable to create new content in namespace %s because it is being terminated", r.namespace))
			err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes, metav1.StatusCause{Type: "NamespaceTerminating"})
			return nil, err
		}
	}
	key := r.namespace + "/" + o.GetName()
	if a.objects[r.res.gvr][key] != nil {
		return nil, apierrors.NewAlreadyExists(r.gr(), o.GetName())
	}
	if o.GetUID() == "" {
		a.names++
		o.SetUID(typesUID(a.names))
	}
	o.SetCreationTimestamp(metav1.NewTime(time.Now()))
	o.SetGeneration(1)
	o.SetAPIVersion(r.res.gvr.GroupVersion().String())
	o.SetKind(r.res.kind)
	if r.res.kind == "Pod" {
		if p, _, _ := unstructured.NestedString(o.Object, "status", "phase"); p == "" {
			_ = unstructured.SetNestedField(o.Object, "Pending", "status", "phase")
		}
	}
	if r.res.kind == "Namespace" {
		_ = unstructured.SetNestedField(o.Object, "Active", "status", "phase")
		_ = unstructured.SetNestedStringSlice(o.Object, []string{"kubernetes"}, "spec", "finalizers")
	}
	a.put(r.res, key, o, nil)
	return r.shape(o), nil
}

// put stores o and tells the watches; the lock is held.
func (a *API) put(res *resource, key string, o, was *object) {
	a.rv++
	a.writes++
	o.SetResourceVersion(strconv.FormatInt(a.rv, 10))
	if a.objects[res.gvr] == nil {
		a.objects[res.gvr] = map[string]*object{}
	}
	kind := "MODIFIED"
	if was == nil {
		kind = "ADDED"
	}
	a.objects[res.gvr][key] = o
	a.tell(event{rv: a.rv, resource: res.gvr, kind: kind, obj: o, was: was})
}

func (a *API) remove(res *resource, key string, o *object) {
	a.rv++
	a.writes++
	gone := o.DeepCopy()
	gone.SetResourceVersion(strconv.FormatInt(a.rv, 10))
	delete(a.objects[res.gvr], key)
	a.tell(event{rv: a.rv, resource: res.gvr, kind: "DELETED", obj: gone, was: o})
}

func (a *API) tell(e event) {
	a.history = append(a.history, e)
	close(a.changed)
	a.changed = make(chan struct{})
}

// Dump returns the objects of a resource, sorted by namespace and name.
func (a *API) Dump(plural string) []*object {
	a.mu.Lock()
	defer a.mu.Unlock()
	for gvr, res := range a.resources {
		if gvr.Resource == plural {
			return a.matching(&request{res: res})
		}
	}
	return nil
}

// typed returns the Go type of a kind.
func (res *resource) typed() runtime.Object {
	o, err := scheme.Scheme.New(res.gvr.GroupVersion().WithKind(res.kind))
	if err != nil {
		panic(err)
	}
	return o
}

func respond(req *http.Request, code int, obj any) *http.Response {
	b, err := json.Marshal(obj)
	if err != nil {
		panic(err)
	}
	return &http.Response{
		StatusCode: code, Status: http.StatusText(code), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(b)), ContentLength: int64(len(b)),
	}
}

func respondError(req *http.Request, err error) *http.Response {
	var st metav1.Status
	if s, ok := err.(apierrors.APIStatus); ok {
		st = s.Status()
	} else {
		st = apierrors.NewInternalError(err).Status()
	}
	st.Kind, st.APIVersion = "Status", "v1"
	return respond(req, int(st.Code), st)
}

// equal compares JSON values.
func equal(a, b any) bool { return reflect.DeepEqual(a, b) }
