package registry

import (
	"errors"
	"math/bits"
	"strconv"
	"unsafe"

	"k8s.io/apimachinery/pkg/labels"
)

// The functions below read and extend protobuf messages without decoding them.
// Every object of the Kubernetes API has its ObjectMeta as field 1, in which
// field 6 is the resourceVersion and field 11 the labels (k8s.io/apimachinery
// pkg/apis/meta/v1 generated.proto). A parser of protobuf merges an embedded
// message that occurs twice, so a resourceVersion can be added behind a message.

const (
	tagMetadata        = 1<<3 | 2
	tagResourceVersion = 6<<3 | 2
	fieldLabels        = 11
)

var errMalformed = errors.New("malformed protobuf")

// ResourceVersionSize is the number of bytes that AppendResourceVersion adds.
func ResourceVersionSize(revision int64) int { return 4 + digits(revision) }

// AppendResourceVersion appends to an object's protobuf what sets its
// metadata.resourceVersion.
func AppendResourceVersion(dst []byte, revision int64) []byte {
	n := digits(revision)
	dst = append(dst, tagMetadata, byte(n+2), tagResourceVersion, byte(n))
	return strconv.AppendInt(dst, revision, 10)
}

func digits(n int64) int {
	d := 1
	for n >= 10 {
		n /= 10
		d++
	}
	return d
}

// MetadataBytes returns the ObjectMeta message within an object's protobuf.
func MetadataBytes(value []byte) ([]byte, error) {
	for len(value) > 0 {
		field, typ, body, rest, err := nextField(value)
		if err != nil {
			return nil, err
		}
		if field == 1 && typ == 2 {
			return body, nil
		}
		value = rest
	}
	return nil, nil
}

// nextField splits the first field off a message. body is the field's content
// for length-delimited fields (type 2).
func nextField(b []byte) (field, typ int, body, rest []byte, err error) {
	tag, n := uvarint(b)
	if n <= 0 {
		return 0, 0, nil, nil, errMalformed
	}
	b = b[n:]
	field, typ = int(tag>>3), int(tag&7)
	switch typ {
	case 0:
		_, n := uvarint(b)
		if n <= 0 {
			return 0, 0, nil, nil, errMalformed
		}
		return field, typ, nil, b[n:], nil
	case 1, 5:
		size := 8
		if typ == 5 {
			size = 4
		}
		if len(b) < size {
			return 0, 0, nil, nil, errMalformed
		}
		return field, typ, nil, b[size:], nil
	case 2:
		l, n := uvarint(b)
		if n <= 0 || l > uint64(len(b)-n) {
			return 0, 0, nil, nil, errMalformed
		}
		end := n + int(l)
		return field, typ, b[n:end:end], b[end:], nil
	}
	return 0, 0, nil, nil, errMalformed
}

func uvarint(b []byte) (uint64, int) {
	var x uint64
	for i, c := range b {
		if i == 10 {
			return 0, -1
		}
		if c < 0x80 {
			return x | uint64(c)<<(7*i), i + 1
		}
		x |= uint64(c&0x7f) << (7 * i)
	}
	return 0, 0
}

// UvarintSize is the number of bytes of a protobuf varint.
func UvarintSize(x uint64) int { return (bits.Len64(x|1) + 6) / 7 }

// wireLabels answers a label selector from an ObjectMeta message.
type wireLabels []byte

var _ labels.Labels = wireLabels(nil)

func (l wireLabels) Has(label string) bool { _, ok := l.Lookup(label); return ok }

func (l wireLabels) Get(label string) string { v, _ := l.Lookup(label); return v }

// Lookup returns a string that shares the message's memory, which is immutable.
func (l wireLabels) Lookup(label string) (string, bool) {
	b := []byte(l)
	for len(b) > 0 {
		field, typ, body, rest, err := nextField(b)
		if err != nil {
			return "", false
		}
		b = rest
		if field != fieldLabels || typ != 2 {
			continue
		}
		if key, value := mapEntry(body); key == label {
			return value, true
		}
	}
	return "", false
}

func mapEntry(b []byte) (key, value string) {
	for len(b) > 0 {
		field, typ, body, rest, err := nextField(b)
		if err != nil {
			return "", ""
		}
		b = rest
		if typ != 2 {
			continue
		}
		switch field {
		case 1:
			key = unsafe.String(unsafe.SliceData(body), len(body))
		case 2:
			value = unsafe.String(unsafe.SliceData(body), len(body))
		}
	}
	return key, value
}
