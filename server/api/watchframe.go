package api

import (
	"encoding/binary"
	"reflect"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"skiff/server/registry"
)

// frame returns one event's bytes on the wire.
func (s *stream) frame(e *registry.WatchEvent) ([]byte, error) {
	if e.View == nil {
		return s.bookmark(e)
	}
	if s.o.shape == table {
		return s.tableFrame(e.Type, stored{key: e.View.Key, value: e.View.Value, revision: e.View.Revision})
	}
	key := registry.FormKey{Version: s.ep.version.Name, Media: string(s.o.media), Type: string(e.Type)}
	if s.o.shape == partial || s.o.shape == partialList {
		key.Version = "partial/" + s.o.metaVersion
	}
	return e.View.Form(key, func() ([]byte, error) {
		in := stored{key: e.View.Key, value: e.View.Value, revision: e.View.Revision}
		if s.o.media == mediaProtobuf && s.o.shape == whole && s.ep.raw {
			return rawFrame(s.ep, e.Type, in), nil
		}
		if s.o.shape == whole {
			var err error
			if in.obj, err = e.View.Object(); err != nil {
				return nil, err
			}
			if s.ep.version.FromHub == nil {
				in.obj = shallow(in.obj)
			}
		}
		o := output{media: s.o.media, metaVersion: s.o.metaVersion}
		if s.o.shape != whole {
			o.shape = partial
		}
		obj, err := s.ep.appendObject(nil, o, in)
		if err != nil {
			return nil, err
		}
		return appendFrame(nil, s.o.media, e.Type, obj), nil
	})
}

// bookmark is an object that has nothing but a version.
func (s *stream) bookmark(e *registry.WatchEvent) ([]byte, error) {
	ep := s.ep
	meta := metav1.ObjectMeta{ResourceVersion: strconv.FormatInt(e.Revision, 10)}
	if e.InitialEnd {
		meta.Annotations = map[string]string{metav1.InitialEventsAnnotationKey: "true"}
	}
	if s.o.shape == partial || s.o.shape == partialList {
		p := &metav1.PartialObjectMetadata{ObjectMeta: meta}
		p.SetGroupVersionKind(s.o.metaGVK("PartialObjectMetadata"))
		return s.encode(e.Type, p)
	}
	obj := ep.version.New()
	m := obj.(metav1.Object)
	m.SetResourceVersion(meta.ResourceVersion)
	m.SetAnnotations(meta.Annotations)
	obj.GetObjectKind().SetGroupVersionKind(ep.kind)
	if s.o.shape != table {
		return s.encode(e.Type, obj)
	}
	row := metav1.TableRow{Cells: make([]any, len(ep.columns()))}
	p := &metav1.PartialObjectMetadata{ObjectMeta: meta}
	p.SetGroupVersionKind(s.o.metaGVK("PartialObjectMetadata"))
	row.Object.Object = p
	return s.encodeTable(e.Type, meta.ResourceVersion, row)
}

func (s *stream) encode(typ watch.EventType, obj runtime.Object) ([]byte, error) {
	b, err := appendAny(nil, output{media: s.o.media}, obj)
	if err != nil {
		return nil, err
	}
	return appendFrame(nil, s.o.media, typ, b), nil
}

func (s *stream) tableFrame(typ watch.EventType, in stored) ([]byte, error) {
	row, err := s.ep.row(s.o, s.table, in)
	if err != nil {
		return nil, err
	}
	return s.encodeTable(typ, strconv.FormatInt(in.revision, 10), row)
}

// encodeTable makes an event of a Table with one row; the first has the columns.
func (s *stream) encodeTable(typ watch.EventType, version string, row metav1.TableRow) ([]byte, error) {
	t := &metav1.Table{ListMeta: metav1.ListMeta{ResourceVersion: version}, Rows: []metav1.TableRow{row}}
	t.SetGroupVersionKind(schema.GroupVersionKind{Group: metav1.GroupName, Version: s.o.metaVersion, Kind: "Table"})
	if !s.headed && !s.table.noHeaders {
		t.ColumnDefinitions = s.ep.columns()
	}
	s.headed = true
	return s.encode(typ, t)
}

// shallow returns a copy of which the type may be set: what watchers share may
// not be modified.
func shallow(obj registry.Object) registry.Object {
	if _, ok := obj.(runtime.Unstructured); ok {
		return obj.DeepCopyObject().(registry.Object)
	}
	v := reflect.ValueOf(obj).Elem()
	c := reflect.New(v.Type())
	c.Elem().Set(v)
	return c.Interface().(registry.Object)
}

// appendFrame wraps an encoded object in a watch event.
func appendFrame(dst []byte, m media, typ watch.EventType, obj []byte) []byte {
	if m == mediaProtobuf {
		dst = appendFrameHead(dst, typ, len(obj))
		return append(dst, obj...)
	}
	dst = append(dst, `{"type":"`...)
	dst = append(dst, typ...)
	dst = append(dst, `","object":`...)
	if n := len(obj); n > 0 && obj[n-1] == '\n' {
		obj = obj[:n-1]
	}
	dst = append(dst, obj...)
	return append(dst, "}\n"...)
}

// appendFrameHead appends what precedes an object of n bytes in a protobuf
// stream: the frame's length in four bytes, and the event around the object.
func appendFrameHead(dst []byte, typ watch.EventType, n int) []byte {
	raw := bytesFieldSize(n)
	size := bytesFieldSize(len(typ)) + bytesFieldSize(raw)
	dst = binary.BigEndian.AppendUint32(dst, uint32(size))
	dst = appendString(dst, tag1, string(typ))
	dst = appendHead(dst, tag2, raw)
	return appendHead(dst, tag1, n)
}

// rawFrame makes an event of stored bytes in one allocation.
func rawFrame(e *endpoint, typ watch.EventType, in stored) []byte {
	n := envelopeSize(e.apiVersion, e.res.Kind, len(in.value)+registry.ResourceVersionSize(in.revision))
	dst := make([]byte, 0, n+len(typ)+24)
	dst = appendFrameHead(dst, typ, n)
	return appendStored(dst, e.apiVersion, e.res.Kind, in.value, in.revision)
}
