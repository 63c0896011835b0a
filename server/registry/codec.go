package registry

import (
	"encoding/json"
	"fmt"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// codec turns objects into stored values and back. Values have no
// resourceVersion: it is the item's revision.
type codec interface {
	encode(Object) ([]byte, error)
	decode(value []byte, into Object) error
	// metadata decodes the object's metadata alone.
	metadata(value []byte, into *metav1.ObjectMeta) error
	// labels gives the labels of a value without decoding all of it.
	labels(value []byte) (labels.Labels, error)
}

// Protobuf is what the generated types of k8s.io/api implement.
type Protobuf interface {
	Size() int
	MarshalToSizedBuffer([]byte) (int, error)
	Unmarshal([]byte) error
}

type protoCodec struct{}

func (protoCodec) encode(obj Object) ([]byte, error) {
	version := obj.GetResourceVersion()
	if version != "" {
		obj.SetResourceVersion("")
		defer obj.SetResourceVersion(version)
	}
	return MarshalProtobuf(obj.(Protobuf))
}

// MarshalProtobuf encodes a message in one allocation.
func MarshalProtobuf(m Protobuf) ([]byte, error) {
	buf := make([]byte, m.Size())
	n, err := m.MarshalToSizedBuffer(buf)
	if err != nil {
		return nil, err
	}
	return buf[len(buf)-n:], nil
}

func (protoCodec) decode(value []byte, into Object) error {
	return into.(Protobuf).Unmarshal(value)
}

func (protoCodec) metadata(value []byte, into *metav1.ObjectMeta) error {
	b, err := MetadataBytes(value)
	if err != nil {
		return err
	}
	return into.Unmarshal(b)
}

func (protoCodec) labels(value []byte) (labels.Labels, error) {
	b, err := MetadataBytes(value)
	return wireLabels(b), err
}

// jsonCodec serves types without protobuf (custom resources).
type jsonCodec struct{}

func (jsonCodec) encode(obj Object) ([]byte, error) {
	version := obj.GetResourceVersion()
	if version != "" {
		obj.SetResourceVersion("")
		defer obj.SetResourceVersion(version)
	}
	return json.Marshal(obj)
}

func (jsonCodec) decode(value []byte, into Object) error { return json.Unmarshal(value, into) }

func (jsonCodec) metadata(value []byte, into *metav1.ObjectMeta) error {
	var m struct {
		Metadata *metav1.ObjectMeta `json:"metadata"`
	}
	m.Metadata = into
	return json.Unmarshal(value, &m)
}

func (jsonCodec) labels(value []byte) (labels.Labels, error) {
	var m struct {
		Metadata struct {
			Labels labels.Set `json:"labels"`
		} `json:"metadata"`
	}
	err := json.Unmarshal(value, &m)
	return m.Metadata.Labels, err
}

func codecFor(obj Object) codec {
	if _, ok := obj.(Protobuf); ok {
		return protoCodec{}
	}
	return jsonCodec{}
}

// Decode returns the object that an item holds; it is the caller's own.
func (s *Store) Decode(key string, value []byte, revision int64) (Object, error) {
	obj := s.newHub()
	if err := s.codec.decode(value, obj); err != nil {
		return nil, fmt.Errorf("decode stored %s at revision %d: %w", key, revision, err)
	}
	obj.SetResourceVersion(strconv.FormatInt(revision, 10))
	return obj, nil
}

// DecodeMetadata returns the metadata of the object that an item holds.
func (s *Store) DecodeMetadata(key string, value []byte, revision int64) (*metav1.ObjectMeta, error) {
	m := new(metav1.ObjectMeta)
	if err := s.codec.metadata(value, m); err != nil {
		return nil, fmt.Errorf("decode stored metadata of %s at revision %d: %w", key, revision, err)
	}
	m.ResourceVersion = strconv.FormatInt(revision, 10)
	return m, nil
}

// Protobuf tells whether stored values are the protobuf of the storage version.
func (s *Store) Protobuf() bool { _, ok := s.codec.(protoCodec); return ok }
