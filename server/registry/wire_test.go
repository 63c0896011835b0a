package registry

import (
	"reflect"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes/scheme"
)

// TestResourceVersionMerges holds for every type of the API what lists and
// watches rely on: a resourceVersion that is appended to an object's protobuf
// is that of the decoded object, and changes nothing else.
func TestResourceVersionMerges(t *testing.T) {
	checked := 0
	for gvk, typ := range scheme.Scheme.AllKnownTypes() {
		if strings.HasSuffix(gvk.Kind, "List") || gvk.Version == "__internal" {
			continue
		}
		obj, ok := reflect.New(typ).Interface().(Object)
		if !ok {
			continue
		}
		if _, ok := obj.(Protobuf); !ok {
			continue
		}
		checked++
		obj.SetName("name")
		obj.SetNamespace("namespace")
		obj.SetLabels(map[string]string{"a": "1", "b": "2"})
		obj.SetUID("uid")
		obj.SetResourceVersion("99")
		value, err := protoCodec{}.encode(obj)
		if err != nil {
			t.Fatalf("%s: %v", gvk, err)
		}
		if obj.GetResourceVersion() != "99" {
			t.Fatalf("%s: encoding changed the object", gvk)
		}
		extended := AppendResourceVersion(append([]byte(nil), value...), 1234567)
		if len(extended) != len(value)+ResourceVersionSize(1234567) {
			t.Fatalf("%s: size of the appended version is wrong", gvk)
		}
		got := reflect.New(typ).Interface().(Object)
		if err := got.(Protobuf).Unmarshal(extended); err != nil {
			t.Fatalf("%s: %v", gvk, err)
		}
		if got.GetResourceVersion() != "1234567" {
			t.Errorf("%s: resourceVersion is %q", gvk, got.GetResourceVersion())
		}
		got.SetResourceVersion("99")
		if !equality.Semantic.DeepEqual(got, obj) {
			t.Errorf("%s: got %v, want %v", gvk, got, obj)
		}
		checkMetadata(t, gvk.String(), value)
	}
	if checked < 100 {
		t.Fatalf("only %d types were checked", checked)
	}
}

func checkMetadata(t *testing.T, kind string, value []byte) {
	t.Helper()
	l, err := protoCodec{}.labels(value)
	if err != nil {
		t.Fatalf("%s: %v", kind, err)
	}
	if l.Get("a") != "1" || l.Get("b") != "2" || l.Has("c") {
		t.Errorf("%s: labels a=%q b=%q", kind, l.Get("a"), l.Get("b"))
	}
	var m metav1.ObjectMeta
	if err := (protoCodec{}).metadata(value, &m); err != nil || m.Name != "name" || m.UID != "uid" {
		t.Errorf("%s: metadata %v: %v", kind, m, err)
	}
}

// TestListsHaveItemsInField2 holds for every list what the copying of lists
// relies on: metadata is field 1, items are field 2.
func TestListsHaveItemsInField2(t *testing.T) {
	checked := 0
	for gvk, typ := range scheme.Scheme.AllKnownTypes() {
		if !strings.HasSuffix(gvk.Kind, "List") || gvk.Version == "__internal" {
			continue
		}
		items, ok := typ.FieldByName("Items")
		if !ok {
			continue
		}
		meta, _ := typ.FieldByName("ListMeta")
		checked++
		if tag := items.Tag.Get("protobuf"); !strings.HasPrefix(tag, "bytes,2,rep") {
			t.Errorf("%s: items are %q", gvk, tag)
		}
		if tag := meta.Tag.Get("protobuf"); !strings.HasPrefix(tag, "bytes,1,") {
			t.Errorf("%s: metadata is %q", gvk, tag)
		}
	}
	if checked < 80 {
		t.Fatalf("only %d lists were checked", checked)
	}
}

func TestMalformedProtobuf(t *testing.T) {
	for _, b := range []string{"\x0a", "\x0a\x05ab", "\x0b", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "\x09abc", "\x08\xff"} {
		if m, err := MetadataBytes([]byte(b)); err == nil {
			t.Errorf("%q: metadata %q", b, m)
		}
	}
	if l := wireLabels("\x5a\x7f"); l.Has("x") {
		t.Error("a label was found in garbage")
	}
}

func TestUvarintSize(t *testing.T) {
	for x, want := range map[uint64]int{0: 1, 1: 1, 127: 1, 128: 2, 16383: 2, 16384: 3, 1 << 63: 10} {
		if got := UvarintSize(x); got != want {
			t.Errorf("UvarintSize(%d) = %d, want %d", x, got, want)
		}
	}
}

func TestSelectorOnStoredLabels(t *testing.T) {
	sel, err := labels.Parse("a in (1,2),!c,b!=3")
	if err != nil {
		t.Fatal(err)
	}
	obj := reflect.New(scheme.Scheme.AllKnownTypes()[scheme.Scheme.PrioritizedVersionsForGroup("")[0].WithKind("Pod")]).Interface().(Object)
	for _, tt := range []struct {
		labels map[string]string
		want   bool
	}{
		{map[string]string{"a": "1"}, true},
		{map[string]string{"a": "1", "b": "3"}, false},
		{map[string]string{"a": "2", "c": ""}, false},
		{nil, false},
	} {
		obj.SetLabels(tt.labels)
		value, err := protoCodec{}.encode(obj)
		if err != nil {
			t.Fatal(err)
		}
		l, err := protoCodec{}.labels(value)
		if err != nil || sel.Matches(l) != tt.want {
			t.Errorf("%v: %v %v", tt.labels, sel.Matches(l), err)
		}
	}
}
