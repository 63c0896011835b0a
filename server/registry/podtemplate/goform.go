package podtemplate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// GoForm renders a value of k8s.io/api as JSON under the names of its Go fields,
// without leaving out empty ones. Messages about whole structures show them in
// this form, since upstream writes messages about its internal types, which have
// the same fields in the same order but no JSON names.
type GoForm struct{ Value any }

// MarshalJSON renders the value.
func (g GoForm) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	if err := writeGoForm(&b, reflect.ValueOf(g.Value)); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

var marshaler = reflect.TypeFor[json.Marshaler]()

func writeGoForm(b *bytes.Buffer, v reflect.Value) error {
	if !v.IsValid() {
		b.WriteString("null")
		return nil
	}
	if v.Type().Implements(marshaler) || reflect.PointerTo(v.Type()).Implements(marshaler) {
		return writePlain(b, v)
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			b.WriteString("null")
			return nil
		}
		return writeGoForm(b, v.Elem())
	case reflect.Struct:
		if !isAPIType(v.Type()) {
			return writePlain(b, v)
		}
		b.WriteByte('{')
		if _, err := writeFields(b, v, true); err != nil {
			return err
		}
		b.WriteByte('}')
		return nil
	case reflect.Slice:
		return writeSlice(b, v)
	case reflect.Map:
		return writeMap(b, v)
	default:
		return writePlain(b, v)
	}
}

func isAPIType(t reflect.Type) bool { return strings.HasPrefix(t.PkgPath(), "k8s.io/api/") }

func writePlain(b *bytes.Buffer, v reflect.Value) error {
	plain, err := json.Marshal(v.Interface())
	if err != nil {
		return fmt.Errorf("render %s: %w", v.Type(), err)
	}
	b.Write(plain)
	return nil
}

// writeFields writes the members of a struct without its braces; first tells
// that no member was written before.
func writeFields(b *bytes.Buffer, v reflect.Value, first bool) (bool, error) {
	for i := range v.NumField() {
		f, value := v.Type().Field(i), v.Field(i)
		if f.Anonymous {
			var err error
			if first, err = writeEmbedded(b, value, first); err != nil {
				return first, err
			}
			continue
		}
		if !first {
			b.WriteByte(',')
		}
		first = false
		fmt.Fprintf(b, "%q:", f.Name)
		if err := writeGoForm(b, value); err != nil {
			return first, err
		}
	}
	return first, nil
}

func writeEmbedded(b *bytes.Buffer, v reflect.Value, first bool) (bool, error) {
	if isAPIType(v.Type()) {
		return writeFields(b, v, first)
	}
	plain, err := json.Marshal(v.Interface())
	if err != nil {
		return first, fmt.Errorf("render %s: %w", v.Type(), err)
	}
	members := bytes.TrimSuffix(bytes.TrimPrefix(plain, []byte("{")), []byte("}"))
	if len(members) == 0 {
		return first, nil
	}
	if !first {
		b.WriteByte(',')
	}
	b.Write(members)
	return false, nil
}

func writeSlice(b *bytes.Buffer, v reflect.Value) error {
	if v.IsNil() || v.Type().Elem().Kind() == reflect.Uint8 {
		return writePlain(b, v)
	}
	b.WriteByte('[')
	for i := range v.Len() {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := writeGoForm(b, v.Index(i)); err != nil {
			return err
		}
	}
	b.WriteByte(']')
	return nil
}

func writeMap(b *bytes.Buffer, v reflect.Value) error {
	if v.IsNil() {
		b.WriteString("null")
		return nil
	}
	keys := v.MapKeys()
	slices.SortFunc(keys, func(x, y reflect.Value) int { return strings.Compare(x.String(), y.String()) })
	b.WriteByte('{')
	for i, key := range keys {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(b, "%q:", key.String())
		if err := writeGoForm(b, v.MapIndex(key)); err != nil {
			return err
		}
	}
	b.WriteByte('}')
	return nil
}
