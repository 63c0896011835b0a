package controllertest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

type body []byte

func (b body) decode() (*object, error) {
	o := &object{}
	if err := json.Unmarshal(b, &o.Object); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return o, nil
}

// request is one parsed request.
type request struct {
	req       *http.Request
	res       *resource
	verb      string
	namespace string
	name, sub string
	patch     string
	partial   bool
	labels    labels.Selector
	fields    fields.Selector
	body      body
	discovery any
}

func (r *request) gr() schema.GroupResource { return r.res.gvr.GroupResource() }

func (a *API) parse(req *http.Request) (*request, error) {
	r := &request{req: req, partial: strings.Contains(req.Header.Get("Accept"), "as=PartialObjectMetadata")}
	parts := strings.Split(strings.Trim(req.URL.Path, "/"), "/")
	if len(parts) < 4 {
		if d := a.discover(parts); d != nil {
			r.discovery = d
			return r, nil
		}
	}
	var gv schema.GroupVersion
	switch {
	case parts[0] == "api" && len(parts) > 2:
		gv, parts = schema.GroupVersion{Version: parts[1]}, parts[2:]
	case parts[0] == "apis" && len(parts) > 3:
		gv, parts = schema.GroupVersion{Group: parts[1], Version: parts[2]}, parts[3:]
	default:
		return nil, apierrors.NewNotFound(schema.GroupResource{}, req.URL.Path)
	}
	if parts[0] == "namespaces" && len(parts) > 2 && parts[2] != "status" && parts[2] != "finalize" {
		r.namespace, parts = parts[1], parts[2:]
	}
	r.res = a.resources[gv.WithResource(parts[0])]
	if r.res == nil {
		return nil, apierrors.NewNotFound(schema.GroupResource{}, req.URL.Path)
	}
	if len(parts) > 1 {
		r.name = parts[1]
	}
	if len(parts) > 2 {
		r.sub = parts[2]
	}
	return r, r.details()
}

func (r *request) details() (err error) {
	q := r.req.URL.Query()
	if r.labels, err = labels.Parse(q.Get("labelSelector")); err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	if r.fields, err = fields.ParseSelector(q.Get("fieldSelector")); err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	if r.req.Body != nil {
		b, err := io.ReadAll(r.req.Body)
		if err != nil {
			return err
		}
		r.body = b
	}
	switch r.req.Method {
	case http.MethodGet:
		r.verb = "get"
		if r.name == "" {
			r.verb = "list"
			if q.Get("watch") == "true" || q.Get("watch") == "1" {
				r.verb = "watch"
			}
		}
	case http.MethodPost:
		r.verb = "create"
	case http.MethodPut:
		r.verb = "update"
	case http.MethodPatch:
		r.verb = "patch"
		r.patch, _, _ = strings.Cut(r.req.Header.Get("Content-Type"), ";")
	case http.MethodDelete:
		r.verb = "delete"
		if r.name == "" {
			r.verb = "deletecollection"
		}
	}
	return nil
}

// selects tells whether the request's namespace and selectors choose o.
func (r *request) selects(o *object) bool {
	if r.namespace != "" && o.GetNamespace() != r.namespace {
		return false
	}
	if r.labels != nil && !r.labels.Matches(labels.Set(o.GetLabels())) {
		return false
	}
	if r.fields == nil {
		return true
	}
	set := fields.Set{}
	for _, f := range r.fields.Requirements() {
		var v any = o.Object
		for _, p := range strings.Split(f.Field, ".") {
			m, _ := v.(map[string]any)
			v = m[p]
		}
		if v != nil {
			set[f.Field] = fmt.Sprint(v)
		}
	}
	return r.fields.Matches(set)
}

// shape is what the client asked to see of o.
func (r *request) shape(o *object) any {
	if r.partial {
		return map[string]any{"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": o.Object["metadata"]}
	}
	return o.Object
}

// discover answers the requests for the lists of groups and resources.
func (a *API) discover(parts []string) any {
	switch {
	case len(parts) == 1 && parts[0] == "api":
		return metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"}}
	case len(parts) == 1 && parts[0] == "apis":
		list := metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}}
		for _, g := range groups[1:] {
			name, version, _ := strings.Cut(g, "/")
			v := metav1.GroupVersionForDiscovery{GroupVersion: g, Version: version}
			list.Groups = append(list.Groups, metav1.APIGroup{Name: name, Versions: []metav1.GroupVersionForDiscovery{v}, PreferredVersion: v})
		}
		return list
	case len(parts) == 2 && parts[0] == "api" || len(parts) == 3 && parts[0] == "apis":
		gv := strings.Join(parts[1:], "/")
		list := metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: gv}
		for gvr, res := range a.resources {
			if gvr.GroupVersion().String() == gv {
				list.APIResources = append(list.APIResources, metav1.APIResource{
					Name: gvr.Resource, Kind: res.kind, Namespaced: res.namespaced,
					Verbs: metav1.Verbs{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"},
				})
			}
		}
		return list
	}
	return nil
}

// watch answers with a body that replays the history from the version asked for
// and then follows it; it needs no goroutine.
func (a *API) watch(r *request) (*http.Response, error) {
	q := r.req.URL.Query()
	w := &watchBody{api: a, r: r, closed: make(chan struct{})}
	a.mu.Lock()
	defer a.mu.Unlock()
	from, _ := strconv.ParseInt(q.Get("resourceVersion"), 10, 64)
	if q.Get("sendInitialEvents") == "true" {
		for _, o := range a.matching(r) {
			w.send("ADDED", r.shape(o))
		}
		w.send("BOOKMARK", map[string]any{
			"kind": r.res.kind, "apiVersion": r.res.gvr.GroupVersion().String(),
			"metadata": map[string]any{
				"resourceVersion": strconv.FormatInt(a.rv, 10),
				"annotations":     map[string]any{metav1.InitialEventsAnnotationKey: "true"},
			},
		})
		from = a.rv
	}
	for w.next = len(a.history); w.next > 0 && a.history[w.next-1].rv > from; w.next-- {
	}
	return &http.Response{
		StatusCode: 200, Status: "200 OK", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r.req,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: w, ContentLength: -1,
	}, nil
}

type watchBody struct {
	api    *API
	r      *request
	buf    bytes.Buffer
	next   int
	closed chan struct{}
}

func (w *watchBody) send(kind string, obj any) {
	b, err := json.Marshal(map[string]any{"type": kind, "object": obj})
	if err != nil {
		panic(err)
	}
	w.buf.Write(append(b, '\n'))
}

// fill appends what happened since; it returns what to wait for if nothing did.
func (w *watchBody) fill() <-chan struct{} {
	w.api.mu.Lock()
	defer w.api.mu.Unlock()
	for ; w.next < len(w.api.history) && w.buf.Len() == 0; w.next++ {
		e := w.api.history[w.next]
		if e.resource != w.r.res.gvr {
			continue
		}
		is := w.r.selects(e.obj)
		was := e.was != nil && w.r.selects(e.was)
		switch {
		case e.kind == "DELETED" && was, was && !is:
			w.send("DELETED", w.r.shape(e.obj))
		case e.kind != "DELETED" && is && !was:
			w.send("ADDED", w.r.shape(e.obj))
		case e.kind != "DELETED" && is:
			w.send("MODIFIED", w.r.shape(e.obj))
		}
	}
	return w.api.changed
}

// Read implements io.Reader.
func (w *watchBody) Read(p []byte) (int, error) {
	for {
		if w.buf.Len() > 0 {
			return w.buf.Read(p)
		}
		changed := w.fill()
		if w.buf.Len() > 0 {
			continue
		}
		select {
		case <-changed:
		case <-w.closed:
			return 0, io.EOF
		case <-w.r.req.Context().Done():
			return 0, w.r.req.Context().Err()
		}
	}
}

// Close implements io.Closer.
func (w *watchBody) Close() error {
	select {
	case <-w.closed:
	default:
		close(w.closed)
	}
	return nil
}
