// Package untagged renders API values in error messages the way clients have
// always seen them.
//
// Kubernetes validates internal types, whose fields have no JSON tags: the bad
// value in a message is {"Type":"Foo","RollingUpdate":null}, not
// {"type":"Foo"}. This project validates the published types of k8s.io/api and
// shows them through Value where a message holds a whole struct.
package untagged

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
)

// Value returns v as something that marshals to JSON with Go's field names for
// the types of k8s.io/api, and as usual for all other types.
func Value(v any) any { return value{v} }

type value struct{ v any }

// MarshalJSON implements json.Marshaler.
func (v value) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	if err := encode(&b, reflect.ValueOf(v.v)); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func encode(b *bytes.Buffer, v reflect.Value) error {
	switch {
	case !v.IsValid():
		b.WriteString("null")
		return nil
	case v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface:
		if v.IsNil() {
			b.WriteString("null")
			return nil
		}
		return encode(b, v.Elem())
	case isAPI(v.Type()) && v.Kind() == reflect.Struct:
		return encodeStruct(b, v)
	case v.Kind() == reflect.Slice && !v.IsNil() && v.Type().Elem().Kind() != reflect.Uint8:
		return encodeSlice(b, v)
	default:
		j, err := json.Marshal(v.Interface())
		b.Write(j)
		return err
	}
}

// isAPI tells whether t is one of the types that have an internal counterpart
// without tags; apimachinery's are the same in both.
func isAPI(t reflect.Type) bool { return strings.HasPrefix(t.PkgPath(), "k8s.io/api/") }

func encodeSlice(b *bytes.Buffer, v reflect.Value) error {
	b.WriteByte('[')
	for i := range v.Len() {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := encode(b, v.Index(i)); err != nil {
			return err
		}
	}
	b.WriteByte(']')
	return nil
}

// encodeStruct writes a struct's fields by their names. Embedded structs are
// flattened, as encoding/json does with fields that have no tag.
func encodeStruct(b *bytes.Buffer, v reflect.Value) error {
	b.WriteByte('{')
	if err := encodeFields(b, v); err != nil {
		return err
	}
	b.WriteByte('}')
	return nil
}

func encodeFields(b *bytes.Buffer, v reflect.Value) error {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Anonymous && v.Field(i).Kind() == reflect.Struct {
			if err := encodeEmbedded(b, v.Field(i)); err != nil {
				return err
			}
			continue
		}
		comma(b)
		b.WriteString(`"` + f.Name + `":`)
		if err := encode(b, v.Field(i)); err != nil {
			return err
		}
	}
	return nil
}

func encodeEmbedded(b *bytes.Buffer, v reflect.Value) error {
	if isAPI(v.Type()) {
		return encodeFields(b, v)
	}
	j, err := json.Marshal(v.Interface())
	if err != nil {
		return err
	}
	if inner := bytes.Trim(j, "{}"); len(inner) > 0 {
		comma(b)
		b.Write(j[1 : len(j)-1])
	}
	return nil
}

func comma(b *bytes.Buffer) {
	if last := b.Bytes()[b.Len()-1]; last != '{' {
		b.WriteByte(',')
	}
}
