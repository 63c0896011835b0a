package api

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"skiff/server/registry"
)

// maxBody is the largest request body that is read.
const maxBody = 3 << 20

// readBody returns the request's body.
func (c *call) readBody() ([]byte, error) {
	if c.r.Body == nil || c.r.ContentLength == 0 {
		return nil, nil
	}
	if c.r.ContentLength > maxBody {
		return nil, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("limit is %d", maxBody))
	}
	if c.r.ContentLength > 0 {
		data := make([]byte, c.r.ContentLength)
		_, err := io.ReadFull(c.r.Body, data)
		return data, bodyError(err)
	}
	data, err := io.ReadAll(io.LimitReader(c.r.Body, maxBody+1))
	if err == nil && len(data) > maxBody {
		return nil, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("limit is %d", maxBody))
	}
	return data, bodyError(err)
}

func bodyError(err error) error {
	if err == nil {
		return nil
	}
	return apierrors.NewBadRequest(fmt.Sprintf("cannot read the request's body: %v", err))
}

// strictness is what happens to fields that are unknown or there twice.
type strictness string

func (s strictness) ignores() bool { return s == metav1.FieldValidationIgnore }

// target is what a body is decoded into.
type target struct {
	gvk schema.GroupVersionKind
	new func() runtime.Object
	// others accepts any group and version (DeleteOptions, Scale).
	others bool
}

// decode turns a body into an object of the target's type.
func (c *call) decode(data []byte, t target, strict strictness) (runtime.Object, error) {
	m, err := c.inputMedia()
	if err != nil {
		return nil, err
	}
	if m == mediaProtobuf {
		return decodeProtobuf(data, t)
	}
	return c.decodeJSON(data, m == mediaYAML, t, strict)
}

func decodeProtobuf(data []byte, t target) (runtime.Object, error) {
	if len(data) == 0 {
		return nil, unrecognized(t, data, errors.New("empty data"))
	}
	apiVersion, kind, raw, err := openEnvelope(data)
	if err != nil {
		return nil, unrecognized(t, data, err)
	}
	obj := t.new()
	m, ok := obj.(registry.Protobuf)
	if !ok {
		return nil, unsupportedMedia(joinMedia([]media{mediaJSON, mediaYAML}))
	}
	if err := t.check(apiVersion, kind); err != nil {
		return nil, err
	}
	if err := m.Unmarshal(raw); err != nil {
		return nil, cannotHandle(t, t.gvk, err)
	}
	return obj, nil
}

// decodeJSON decodes JSON, or YAML by way of JSON. The type is looked at first
// only where something is wrong: a body of the right kind is read once.
func (c *call) decodeJSON(original []byte, isYAML bool, t target, strict strictness) (runtime.Object, error) {
	data := original
	var faults []error
	if isYAML {
		var err error
		if data, err = yaml.YAMLToJSON(original); err != nil {
			return nil, unrecognized(t, original, err)
		}
		if !strict.ignores() {
			if _, err := yaml.YAMLToJSONStrict(original); err != nil {
				faults = append(faults, err)
			}
		}
	}
	obj := t.new()
	more, err := unmarshal(data, obj, strict)
	gvk := obj.GetObjectKind().GroupVersionKind()
	if err != nil {
		if gvk, err = interpret(t, original, data, err); err != nil {
			return nil, err
		}
	}
	apiVersion, kind := gvk.ToAPIVersionAndKind()
	if err := t.check(apiVersion, kind); err != nil {
		return nil, err
	}
	if faults = append(faults, more...); len(faults) > 0 {
		if strict != metav1.FieldValidationWarn {
			return nil, cannotHandle(t, t.gvk, runtime.NewStrictDecodingError(faults))
		}
		c.warnStrict(faults)
	}
	return obj, nil
}

// interpret tells what is wrong with a body that cannot be decoded: it is of
// another kind, or no JSON at all, or does not fit the type.
func interpret(t target, original, data []byte, cause error) (schema.GroupVersionKind, error) {
	var meta struct {
		APIVersion string `json:"apiVersion,omitempty"`
		Kind       string `json:"kind,omitempty"`
	}
	if err := json.Unmarshal(data, &meta); err != nil {
		return schema.GroupVersionKind{}, unrecognized(t, original, fmt.Errorf("couldn't get version/kind; json parse error: %w", err))
	}
	if err := t.check(meta.APIVersion, meta.Kind); err != nil {
		return schema.GroupVersionKind{}, err
	}
	return schema.GroupVersionKind{}, cannotHandle(t, t.gvk, cause)
}

func unmarshal(data []byte, into any, strict strictness) ([]error, error) {
	if u, ok := into.(runtime.Unstructured); ok {
		m := map[string]any{}
		faults, err := unmarshal(data, &m, strict)
		u.SetUnstructuredContent(m)
		return faults, err
	}
	if strict.ignores() {
		return nil, kjson.UnmarshalCaseSensitivePreserveInts(data, into)
	}
	return kjson.UnmarshalStrict(data, into)
}

// check compares what a body says that it is with what it has to be. What it
// does not say is taken for right.
func (t target) check(apiVersion, kind string) error {
	gvk := t.gvk
	if kind != "" {
		gvk.Kind = kind
	}
	if apiVersion != "" {
		gv, err := schema.ParseGroupVersion(apiVersion)
		if err != nil {
			return unrecognized(t, nil, err)
		}
		gvk.Group, gvk.Version = gv.Group, gv.Version
	}
	switch {
	case gvk == t.gvk || t.others && gvk.Kind == t.gvk.Kind:
		return nil
	case gvk.GroupKind() == t.gvk.GroupKind():
		return apierrors.NewBadRequest(fmt.Sprintf("the API version in the data (%s) does not match the expected API version (%s)", gvk.GroupVersion(), t.gvk.GroupVersion()))
	case scheme.Scheme.Recognizes(gvk):
		return cannotHandle(t, gvk, fmt.Errorf("converting (%s.%s) to (%s.%s): unknown conversion", gvk.Version, gvk.Kind, internalPackage(t.gvk.Group), t.gvk.Kind))
	}
	return cannotHandle(t, gvk, fmt.Errorf("no kind %q is registered for version %q in scheme %q", gvk.Kind, gvk.GroupVersion(), "pkg/api/legacyscheme/scheme.go:30"))
}

func internalPackage(group string) string {
	if group == "" {
		return "core"
	}
	name, _, _ := strings.Cut(group, ".")
	return name
}

func cannotHandle(t target, gvk schema.GroupVersionKind, err error) error {
	return apierrors.NewBadRequest(fmt.Sprintf("%s in version %q cannot be handled as a %s: %v", gvk.Kind, gvk.Version, t.gvk.Kind, err))
}

func unrecognized(t target, data []byte, err error) error {
	return apierrors.NewBadRequest(fmt.Sprintf("the object provided is unrecognized (must be of type %s): %v (%s)", t.gvk.Kind, err, summary(data)))
}

// summary shows the beginning of a body.
func summary(data []byte) string {
	const show = 30
	if len(data) == 0 {
		return "<empty>"
	}
	head, more := data, ""
	if len(head) > show {
		head, more = head[:show], " ..."
	}
	if data[0] == '{' {
		return string(head) + more
	}
	return hex.EncodeToString(head) + more
}

// warnStrict makes warnings of strict decoding errors, those of a YAML parser one
// by one.
func (c *call) warnStrict(faults []error) {
	for _, f := range faults {
		text := f.Error()
		rest, ok := strings.CutPrefix(text, "yaml: unmarshal errors:\n")
		if !ok {
			rest, ok = strings.CutPrefix(text, "error converting YAML to JSON: yaml: unmarshal errors:\n")
		}
		if !ok {
			c.warnings.AddWarning("", text)
			continue
		}
		for line := range strings.SplitSeq(rest, "\n") {
			c.warnings.AddWarning("", strings.TrimSpace(line))
		}
	}
}

// decodeBody reads a body of the endpoint's kind and converts it to the type in
// memory.
func (c *call) decodeBody(strict strictness) (registry.Object, error) {
	data, err := c.readBody()
	if err != nil {
		return nil, err
	}
	e := c.endpoint
	obj, err := c.decode(data, target{gvk: e.kind, new: e.version.New}, strict)
	if err != nil {
		return nil, err
	}
	return e.toHub(obj)
}

func (e *endpoint) toHub(obj runtime.Object) (registry.Object, error) {
	if e.version.ToHub == nil {
		if _, ok := obj.(runtime.Unstructured); !ok {
			obj.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
		}
		return obj.(registry.Object), nil
	}
	hub, err := e.version.ToHub(obj)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return hub, nil
}
