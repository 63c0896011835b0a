package registry

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unsafe"

	"k8s.io/apimachinery/pkg/fields"
)

// wirePath are the numbers of the protobuf fields that lead to a string within a
// stored object.
type wirePath []int

// wirePaths finds the paths of string fields by their names ("spec.nodeName") in
// the type of obj.
func wirePaths(obj Object, names []string) (map[string]wirePath, error) {
	paths := make(map[string]wirePath, len(names))
	for _, name := range names {
		typ := reflect.TypeOf(obj).Elem()
		var path wirePath
		for part := range strings.SplitSeq(name, ".") {
			number, next, ok := wireField(typ, part)
			if !ok {
				return nil, fmt.Errorf("%T has no field %s", obj, name)
			}
			path, typ = append(path, number), next
		}
		if typ.Kind() != reflect.String {
			return nil, fmt.Errorf("field %s of %T is no string", name, obj)
		}
		paths[name] = path
	}
	return paths, nil
}

// wireField finds a struct's field by its name in JSON, and its number in
// protobuf: `json:"nodeName,omitempty" protobuf:"bytes,10,opt,name=nodeName"`.
func wireField(typ reflect.Type, name string) (number int, field reflect.Type, ok bool) {
	if typ.Kind() != reflect.Struct {
		return 0, nil, false
	}
	for i := range typ.NumField() {
		f := typ.Field(i)
		if own, _, _ := strings.Cut(f.Tag.Get("json"), ","); own != name {
			continue
		}
		tag := strings.Split(f.Tag.Get("protobuf"), ",")
		if len(tag) < 2 {
			return 0, nil, false
		}
		n, err := strconv.Atoi(tag[1])
		return n, f.Type, err == nil
	}
	return 0, nil, false
}

// read returns the string in a stored object, "" if it is not set. It shares the
// object's memory, which is immutable.
func (p wirePath) read(value []byte) string {
	found := ""
	for len(value) > 0 {
		field, typ, body, rest, err := nextField(value)
		if err != nil {
			return found
		}
		value = rest
		if field != p[0] || typ != 2 {
			continue
		}
		if len(p) == 1 {
			found = unsafe.String(unsafe.SliceData(body), len(body))
		} else if s := p[1:].read(body); s != "" {
			found = s
		}
	}
	return found
}

// wireFields answers a field selector from a stored object.
type wireFields struct {
	s     *Store
	key   string
	value []byte
}

var _ fields.Fields = wireFields{}

// Has implements fields.Fields.
func (f wireFields) Has(field string) bool { return f.s.inWire(field) }

// Get implements fields.Fields.
func (f wireFields) Get(field string) string {
	namespace, name := f.s.Name(f.key)
	switch field {
	case "metadata.name":
		return name
	case "metadata.namespace":
		return namespace
	}
	if path := f.s.wire[field]; path != nil {
		return path.read(f.value)
	}
	return ""
}

// inWire tells whether a field can be read without decoding.
func (s *Store) inWire(field string) bool {
	return field == "metadata.name" || field == "metadata.namespace" || s.wire[field] != nil
}
