package api

import (
	"bytes"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"skiff/server/registry"
)

// stored is an object on its way out: in its stored form, decoded, or both.
type stored struct {
	key      string
	value    []byte
	revision int64
	obj      registry.Object
}

func (e *endpoint) object(s stored) (registry.Object, error) {
	if s.obj != nil {
		return s.obj, nil
	}
	return e.store.Decode(s.key, s.value, s.revision)
}

// versioned returns the object in the endpoint's version, with its kind set if
// typed. The result may be s.obj itself.
func (e *endpoint) versioned(s stored, typed bool) (runtime.Object, error) {
	obj, err := e.object(s)
	if err != nil {
		return nil, err
	}
	return e.fromHub(obj, typed)
}

func (e *endpoint) fromHub(obj registry.Object, typed bool) (runtime.Object, error) {
	var out runtime.Object = obj
	if e.version.FromHub != nil {
		var err error
		if out, err = e.version.FromHub(obj); err != nil {
			return nil, fmt.Errorf("convert %s %s to %s: %w", e.res.Kind, obj.GetName(), e.apiVersion, err)
		}
	}
	if _, ok := out.(runtime.Unstructured); ok || typed {
		out.GetObjectKind().SetGroupVersionKind(e.kind)
	} else {
		out.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	}
	return out, nil
}

// appendObject appends one object in an encoding that is a sequence of bytes in
// itself (JSON with a final newline, YAML, or protobuf in its envelope).
func (e *endpoint) appendObject(dst []byte, o output, s stored) ([]byte, error) {
	switch {
	case o.shape == partial:
		return e.appendPartial(dst, o, s)
	case o.media == mediaProtobuf && e.raw && s.value != nil:
		return appendStored(dst, e.apiVersion, e.res.Kind, s.value, s.revision), nil
	}
	obj, err := e.versioned(s, true)
	if err != nil {
		return nil, err
	}
	return appendAny(dst, o, obj)
}

func (e *endpoint) metadata(s stored) (*metav1.ObjectMeta, error) {
	if s.obj != nil {
		if a, ok := s.obj.(metav1.ObjectMetaAccessor); ok {
			if m, ok := a.GetObjectMeta().(*metav1.ObjectMeta); ok {
				return m, nil
			}
		}
	}
	if s.value == nil {
		value, err := json.Marshal(s.obj)
		if err != nil {
			return nil, err
		}
		var p metav1.PartialObjectMetadata
		err = json.Unmarshal(value, &p)
		return &p.ObjectMeta, err
	}
	return e.store.DecodeMetadata(s.key, s.value, s.revision)
}

func (e *endpoint) partial(o output, s stored) (*metav1.PartialObjectMetadata, error) {
	m, err := e.metadata(s)
	if err != nil {
		return nil, err
	}
	return &metav1.PartialObjectMetadata{TypeMeta: o.metaType("PartialObjectMetadata"), ObjectMeta: *m}, nil
}

func (e *endpoint) appendPartial(dst []byte, o output, s stored) ([]byte, error) {
	if o.media == mediaProtobuf && s.value != nil && e.store.Protobuf() {
		meta, err := registry.MetadataBytes(s.value)
		if err != nil {
			return nil, fmt.Errorf("read stored metadata of %s: %w", s.key, err)
		}
		apiVersion, kind := o.metaGVK("PartialObjectMetadata").ToAPIVersionAndKind()
		dst = appendEnvelope(dst, apiVersion, kind, partialSize(meta, s.revision))
		return append(appendPartialStored(dst, meta, s.revision), envelopeTail...), nil
	}
	p, err := e.partial(o, s)
	if err != nil {
		return nil, err
	}
	return appendAny(dst, o, p)
}

// appendAny appends an object that has its kind set.
func appendAny(dst []byte, o output, obj runtime.Object) ([]byte, error) {
	switch o.media {
	case mediaProtobuf:
		m, ok := obj.(registry.Protobuf)
		if !ok {
			return nil, notAcceptable(fmt.Sprintf("object *%T does not implement the protobuf marshalling interface and cannot be encoded to a protobuf message", obj))
		}
		apiVersion, kind := obj.GetObjectKind().GroupVersionKind().ToAPIVersionAndKind()
		return appendMessage(dst, apiVersion, kind, m)
	case mediaYAML:
		js, err := json.Marshal(obj)
		if err != nil {
			return nil, err
		}
		y, err := yaml.JSONToYAML(js)
		return append(dst, y...), err
	}
	return appendJSON(dst, obj, o.pretty)
}

// appendJSON appends JSON as upstream writes it: with a newline, unless pretty.
func appendJSON(dst []byte, v any, pretty bool) ([]byte, error) {
	if pretty {
		js, err := json.MarshalIndent(v, "", "  ")
		return append(dst, js...), err
	}
	w := appender{dst}
	err := json.NewEncoder(&w).Encode(v)
	return w.b, err
}

type appender struct{ b []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.b = append(a.b, p...)
	return len(p), nil
}

// reshape turns a complete JSON document into YAML or indented JSON.
func reshape(js []byte, o output) ([]byte, error) {
	if o.media == mediaYAML {
		return yaml.JSONToYAML(js)
	}
	var buf bytes.Buffer
	err := json.Indent(&buf, bytes.TrimSuffix(js, []byte("\n")), "", "  ")
	return buf.Bytes(), err
}

// respond writes one object.
func (c *call) respond(code int, o output, s stored) error {
	if o.shape == table {
		return c.respondTable(code, o, registry.List{}, []stored{s})
	}
	if o.shape == partialList {
		return notAcceptable(fmt.Sprintf("you requested PartialObjectMetadataList, but the requested object is not a list (%s)", c.endpoint.res.Kind))
	}
	b := c.body(code, string(o.media))
	out, err := c.endpoint.appendObject(b.space(), o, s)
	if err != nil {
		return err
	}
	if err := b.took(out); err != nil {
		return gone(err)
	}
	return gone(b.close())
}

// respondObject writes an object that is not stored; its kind is set.
func (c *call) respondObject(code int, o output, obj runtime.Object) error {
	b := c.body(code, string(o.media))
	out, err := appendAny(b.space(), o, obj)
	if err != nil {
		return err
	}
	if err := b.took(out); err != nil {
		return gone(err)
	}
	return gone(b.close())
}

// gone forgets the error of a write to a client: there is nobody to tell.
func gone(error) error { return nil }
