package api

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"skiff/server/registry"
)

// protobufMagic is what every Kubernetes protobuf begins with; a runtime.Unknown
// message with type and bytes of the object follows.
const protobufMagic = "k8s\x00"

// Field tags of runtime.Unknown (typeMeta 1, raw 2, contentEncoding 3,
// contentType 4), runtime.TypeMeta (apiVersion 1, kind 2), metav1.WatchEvent (type
// 1, object 2), runtime.RawExtension (raw 1), metav1.ListMeta (selfLink 1,
// resourceVersion 2, continue 3, remainingItemCount 4) and of every list
// (metadata 1, items 2).
const (
	tag1 = 1<<3 | 2
	tag2 = 2<<3 | 2
	tag3 = 3<<3 | 2
	tag4 = 4<<3 | 2
)

// envelopeTail are the empty content encoding and type that upstream writes.
var envelopeTail = []byte{tag3, 0, tag4, 0}

func bytesFieldSize(n int) int { return 1 + registry.UvarintSize(uint64(n)) + n }

func appendHead(dst []byte, tag byte, n int) []byte {
	return binary.AppendUvarint(append(dst, tag), uint64(n))
}

func appendString(dst []byte, tag byte, s string) []byte {
	return append(appendHead(dst, tag, len(s)), s...)
}

// envelopeSize is the size of an object of n bytes in its envelope.
func envelopeSize(apiVersion, kind string, n int) int {
	meta := bytesFieldSize(len(apiVersion)) + bytesFieldSize(len(kind))
	return len(protobufMagic) + bytesFieldSize(meta) + bytesFieldSize(n) + len(envelopeTail)
}

// appendEnvelope appends what precedes an object of n bytes; envelopeTail has to
// follow the object.
func appendEnvelope(dst []byte, apiVersion, kind string, n int) []byte {
	dst = append(dst, protobufMagic...)
	dst = appendHead(dst, tag1, bytesFieldSize(len(apiVersion))+bytesFieldSize(len(kind)))
	dst = appendString(dst, tag1, apiVersion)
	dst = appendString(dst, tag2, kind)
	return appendHead(dst, tag2, n)
}

// appendStored appends an object in its envelope, made of its stored bytes.
func appendStored(dst []byte, apiVersion, kind string, value []byte, revision int64) []byte {
	dst = appendEnvelope(dst, apiVersion, kind, len(value)+registry.ResourceVersionSize(revision))
	dst = append(dst, value...)
	dst = registry.AppendResourceVersion(dst, revision)
	return append(dst, envelopeTail...)
}

// appendMessage appends an object in its envelope.
func appendMessage(dst []byte, apiVersion, kind string, m registry.Protobuf) ([]byte, error) {
	n := m.Size()
	dst = appendEnvelope(dst, apiVersion, kind, n)
	dst, err := appendMarshalled(dst, m, n)
	return append(dst, envelopeTail...), err
}

func appendMarshalled(dst []byte, m registry.Protobuf, n int) ([]byte, error) {
	start := len(dst)
	dst = slices.Grow(dst, n+len(envelopeTail))
	dst = dst[:start+n]
	if _, err := m.MarshalToSizedBuffer(dst[start:]); err != nil {
		return nil, fmt.Errorf("encode %T: %w", m, err)
	}
	return dst, nil
}

var errNotProtobuf = errors.New("not a protobuf envelope")

// openEnvelope returns the type and bytes of the object in an envelope.
func openEnvelope(data []byte) (apiVersion, kind string, raw []byte, err error) {
	if len(data) < len(protobufMagic) || string(data[:len(protobufMagic)]) != protobufMagic {
		return "", "", nil, fmt.Errorf("provided data does not appear to be a protobuf message, expected prefix %v", []byte(protobufMagic))
	}
	fields, err := bytesFields(data[len(protobufMagic):])
	if err != nil {
		return "", "", nil, err
	}
	meta, err := bytesFields(fields[1])
	if err != nil {
		return "", "", nil, err
	}
	return string(meta[1]), string(meta[2]), fields[2], nil
}

// bytesFields returns the length-delimited fields 1 to 4 of a message.
func bytesFields(b []byte) (fields [5][]byte, err error) {
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		if n <= 0 || tag&7 != 2 {
			return fields, errNotProtobuf
		}
		b = b[n:]
		l, n := binary.Uvarint(b)
		if n <= 0 || l > uint64(len(b)-n) {
			return fields, errNotProtobuf
		}
		if f := tag >> 3; f < uint64(len(fields)) {
			fields[f] = b[n : n+int(l)]
		}
		b = b[n+int(l):]
	}
	return fields, nil
}

// partialSize and appendPartialStored make a PartialObjectMetadata, whose only
// field is the metadata, of the metadata's stored bytes.
func partialSize(meta []byte, revision int64) int {
	return bytesFieldSize(len(meta)) + registry.ResourceVersionSize(revision)
}

func appendPartialStored(dst, meta []byte, revision int64) []byte {
	dst = append(appendHead(dst, tag1, len(meta)), meta...)
	return registry.AppendResourceVersion(dst, revision)
}
