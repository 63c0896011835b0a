package api

import (
	"encoding/json"
	"fmt"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"skiff/server/registry"
)

// respondList writes a list, object by object: no list is ever decoded as a
// whole.
func (c *call) respondList(o output, list registry.List) error {
	switch {
	case o.shape == partial:
		return notAcceptable(fmt.Sprintf("you requested PartialObjectMetadata, but the requested object is a list (%sList)", c.endpoint.res.Kind))
	case o.shape == table:
		items := make([]stored, len(list.Items))
		for i, it := range list.Items {
			items[i] = stored{key: it.Key, value: it.Value, revision: it.Revision}
		}
		return c.respondTable(200, o, list, items)
	case o.media == mediaProtobuf && c.endpoint.raw && o.shape == whole:
		return c.respondRawList(list)
	case o.media == mediaProtobuf:
		return c.respondProtobufList(o, list)
	}
	return c.respondJSONList(o, list)
}

func (c *call) listKind(o output) (apiVersion, kind string) {
	if o.shape == partialList {
		return o.metaGVK("").GroupVersion().String(), "PartialObjectMetadataList"
	}
	return c.endpoint.apiVersion, c.endpoint.res.Kind + "List"
}

func listMeta(list registry.List) metav1.ListMeta {
	return metav1.ListMeta{ResourceVersion: strconv.FormatInt(list.Revision, 10), Continue: list.Continue, RemainingItemCount: list.Remaining}
}

// respondRawList copies stored bytes.
func (c *call) respondRawList(list registry.List) error {
	apiVersion, kind := c.listKind(output{})
	meta := listMeta(list)
	size := bytesFieldSize(meta.Size())
	for i := range list.Items {
		size += bytesFieldSize(len(list.Items[i].Value) + registry.ResourceVersionSize(list.Items[i].Revision))
	}
	b := c.body(200, string(mediaProtobuf))
	b.length = int64(envelopeSize(apiVersion, kind, size))
	buf, err := appendListHead(b.space(), apiVersion, kind, &meta, size)
	if err != nil {
		return err
	}
	for i := range list.Items {
		it := &list.Items[i]
		buf = appendHead(buf, tag2, len(it.Value)+registry.ResourceVersionSize(it.Revision))
		buf = append(buf, it.Value...)
		buf = registry.AppendResourceVersion(buf, it.Revision)
		if b.took(buf) != nil {
			break
		}
		buf = b.space()
	}
	_ = b.took(append(buf, envelopeTail...))
	return gone(b.close())
}

func appendListHead(dst []byte, apiVersion, kind string, meta *metav1.ListMeta, size int) ([]byte, error) {
	dst = appendEnvelope(dst, apiVersion, kind, size)
	n := meta.Size()
	return appendMarshalled(appendHead(dst, tag1, n), meta, n)
}

// respondProtobufList encodes objects of another version, or only metadata.
func (c *call) respondProtobufList(o output, list registry.List) error {
	apiVersion, kind := c.listKind(o)
	meta := listMeta(list)
	var items []byte
	for _, it := range list.Items {
		var err error
		if items, err = c.appendProtobufItem(items, o, stored{key: it.Key, value: it.Value, revision: it.Revision}); err != nil {
			return err
		}
	}
	b := c.body(200, string(mediaProtobuf))
	buf, err := appendListHead(b.space(), apiVersion, kind, &meta, bytesFieldSize(meta.Size())+len(items))
	if err != nil {
		return err
	}
	b.length = int64(len(buf) + len(items) + len(envelopeTail))
	_ = b.took(buf)
	_, _ = b.Write(items)
	_, _ = b.Write(envelopeTail)
	return gone(b.close())
}

// appendProtobufItem appends one element of a list's items.
func (c *call) appendProtobufItem(dst []byte, o output, s stored) ([]byte, error) {
	if o.shape == partialList && c.endpoint.store.Protobuf() {
		meta, err := registry.MetadataBytes(s.value)
		if err != nil {
			return nil, fmt.Errorf("read stored metadata of %s: %w", s.key, err)
		}
		return appendPartialStored(appendHead(dst, tag2, partialSize(meta, s.revision)), meta, s.revision), nil
	}
	var obj any
	var err error
	if o.shape == partialList {
		obj, err = c.endpoint.partial(o, s)
	} else {
		obj, err = c.endpoint.versioned(s, false)
	}
	if err != nil {
		return nil, err
	}
	m, ok := obj.(registry.Protobuf)
	if !ok {
		return nil, notAcceptable(fmt.Sprintf("%T has no protobuf encoding", obj))
	}
	n := m.Size()
	return appendMarshalled(appendHead(dst, tag2, n), m, n)
}

func (c *call) respondJSONList(o output, list registry.List) error {
	compact := o
	compact.pretty = false
	b := c.body(200, string(o.media))
	whole := o.pretty || o.media == mediaYAML
	var buf []byte
	if !whole {
		buf = b.space()
	}
	apiVersion, kind := c.listKind(o)
	buf, err := appendJSONHead(buf, apiVersion, kind, listMeta(list))
	if err != nil {
		return err
	}
	buf = append(buf, `,"items":[`...)
	for i, it := range list.Items {
		if i > 0 {
			buf = append(buf, ',')
		}
		if buf, err = c.appendJSONItem(buf, compact, stored{key: it.Key, value: it.Value, revision: it.Revision}); err != nil {
			return err
		}
		if !whole {
			if b.took(buf) != nil {
				return nil
			}
			buf = b.space()
		}
	}
	return c.finishJSON(b, append(buf, "]}\n"...), o)
}

func (c *call) appendJSONItem(buf []byte, o output, s stored) ([]byte, error) {
	var v any
	var err error
	if o.shape == partialList {
		v, err = c.endpoint.partial(o, s)
	} else {
		v, err = c.endpoint.versioned(s, false)
	}
	if err != nil {
		return nil, err
	}
	if buf, err = appendJSON(buf, v, false); err != nil {
		return nil, err
	}
	return buf[:len(buf)-1], nil // without the newline
}

// appendJSONHead opens a JSON object with type and list metadata.
func appendJSONHead(dst []byte, apiVersion, kind string, meta metav1.ListMeta) ([]byte, error) {
	m, err := json.Marshal(meta)
	dst = append(dst, `{"kind":"`...)
	dst = append(dst, kind...)
	dst = append(dst, `","apiVersion":"`...)
	dst = append(dst, apiVersion...)
	dst = append(dst, `","metadata":`...)
	return append(dst, m...), err
}

func (c *call) finishJSON(b *body, js []byte, o output) error {
	if o.pretty || o.media == mediaYAML {
		out, err := reshape(js, o)
		if err != nil {
			return err
		}
		_, _ = b.Write(out)
		return gone(b.close())
	}
	_ = b.took(js)
	return gone(b.close())
}
