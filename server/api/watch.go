package api

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"reflect"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"skiff/server/registry"
)

// watchTimeout is the least time that a watch lasts whose client names none; the
// most is twice as long.
const watchTimeout = 30 * time.Minute

// watch answers GET of a stream of events. The request's own goroutine reads the
// store's cursor and writes frames, which it shares with other watchers of the
// same form.
func (c *call) watch() error {
	o, err := c.negotiate(c.endpoint.serves)
	if err != nil {
		return err
	}
	if o.media == mediaYAML {
		return notAcceptable("only the following media types are accepted: application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch")
	}
	opts, err := c.listOptions(true)
	if err != nil {
		return err
	}
	s := &stream{c: c, o: o, version: c.endpoint.version.Name}
	if o.shape == table {
		if s.table, err = c.tableOptions(); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(c.ctx, watchTime(opts))
	defer cancel()
	w, err := c.endpoint.store.Watch(ctx, registry.WatchOptions{
		Namespace: c.info.Namespace, Selector: opts.selector, ResourceVersion: opts.ResourceVersion,
		SendInitialEvents: opts.SendInitialEvents != nil && *opts.SendInitialEvents, Bookmarks: opts.AllowWatchBookmarks,
	})
	if err != nil {
		return s.refuse(ctx, err)
	}
	defer w.Close()
	s.begin()
	return s.run(ctx, w)
}

func watchTime(opts listOptions) time.Duration {
	if t := opts.TimeoutSeconds; t != nil && *t > 0 {
		return time.Duration(*t) * time.Second
	}
	return watchTimeout + rand.N(watchTimeout)
}

// endsStream tells whether an error comes as an event: clients look for these
// there.
func endsStream(err error) bool {
	return apierrors.IsResourceExpired(err) || apierrors.IsGone(err) || apierrors.IsTimeout(err)
}

// stream is a response of watch events.
type stream struct {
	c       *call
	o       output
	version string
	table   tableOptions
	headed  bool // a Table's column definitions are sent
}

// refuse answers a watch that cannot begin. One whose time is over, while it
// waited for the state that its client has seen, ends like any other.
func (s *stream) refuse(ctx context.Context, err error) error {
	over := ctx.Err() != nil
	if !over && !endsStream(err) {
		return err
	}
	s.begin()
	if over {
		return nil
	}
	return s.end(err)
}

func (s *stream) begin() {
	typ := string(s.o.media)
	if s.o.media == mediaProtobuf {
		typ += ";stream=watch"
	}
	s.c.w.Header().Set("Content-Type", typ)
	s.c.w.WriteHeader(200)
	s.c.rec.Flush()
}

// run writes events until the client, the time or the server ends it.
func (s *stream) run(ctx context.Context, w *registry.Watch) error {
	ctx, cancel := s.c.s.untilShutdown(ctx)
	defer cancel()
	for {
		events, err := w.Next(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return s.end(err)
		}
		for i := range events {
			frame, err := s.frame(&events[i])
			if err != nil {
				return s.end(apierrors.NewInternalError(err))
			}
			if _, err := s.c.w.Write(frame); err != nil {
				return nil // the client is gone
			}
		}
		clear(events)
		s.c.rec.Flush()
	}
}

// end says in the stream why it ends.
func (s *stream) end(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	status := s.c.statusOf(err)
	status.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
	obj, err := appendAny(nil, output{media: s.o.media}, status)
	if err == nil {
		_, _ = s.c.w.Write(appendFrame(nil, s.o.media, watch.Error, obj))
		s.c.rec.Flush()
	}
	return nil
}

// frame returns one event's bytes on the wire.
func (s *stream) frame(e *registry.WatchEvent) ([]byte, error) {
	if e.View == nil {
		return s.bookmark(e)
	}
	if s.o.shape == table {
		return s.tableFrame(e.Type, stored{key: e.View.Key, value: e.View.Value, revision: e.View.Revision})
	}
	key := registry.FormKey{Version: s.version, Media: string(s.o.media), Type: string(e.Type)}
	if s.o.shape == partial || s.o.shape == partialList {
		key.Version = "partial/" + s.o.metaVersion
	}
	return e.View.Form(key, func() ([]byte, error) {
		in := stored{key: e.View.Key, value: e.View.Value, revision: e.View.Revision}
		if s.o.media == mediaProtobuf && s.o.shape == whole && s.c.endpoint.raw {
			return rawFrame(s.c.endpoint, e.Type, in), nil
		}
		if s.o.shape == whole {
			var err error
			if in.obj, err = e.View.Object(); err != nil {
				return nil, err
			}
			if s.c.endpoint.version.FromHub == nil {
				in.obj = shallow(in.obj)
			}
		}
		o := output{media: s.o.media, metaVersion: s.o.metaVersion}
		if s.o.shape != whole {
			o.shape = partial
		}
		obj, err := s.c.endpoint.appendObject(nil, o, in)
		if err != nil {
			return nil, err
		}
		return appendFrame(nil, s.o.media, e.Type, obj), nil
	})
}

// bookmark is an object that has nothing but a version.
func (s *stream) bookmark(e *registry.WatchEvent) ([]byte, error) {
	ep := s.c.endpoint
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
	row, err := s.c.endpoint.row(s.o, s.table, in)
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
		t.ColumnDefinitions = s.c.endpoint.columns()
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
