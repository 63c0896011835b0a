package builtin

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rogpeppe/go-internal/txtar"

	"skiff/server/api/apitest"
	"skiff/server/registry"
	"skiff/store"
	"skiff/store/storetest"
)

const golden = "testdata/resources.txtar"

func TestTableIsAsWritten(t *testing.T) {
	got := List(Complete())
	if apitest.Update() {
		archive := &txtar.Archive{
			Comment: []byte("All resources of the API: go test -update rewrites this.\n"),
			Files:   []txtar.File{{Name: "resources", Data: []byte(got)}},
		}
		if err := os.WriteFile(golden, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	archive, err := txtar.ParseFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if want := string(archive.Files[0].Data); got != want {
		t.Errorf("the table differs from %s:\n%s", golden, got)
	}
}

func TestNamesAreUnique(t *testing.T) {
	names := map[string]bool{}
	for _, r := range Complete() {
		for _, name := range append([]string{r.Plural}, r.ShortNames...) {
			key := r.Group + "/" + name
			if names[key] {
				t.Errorf("two resources are called %s", key)
			}
			names[key] = true
		}
	}
}

func TestEveryResourceHasOneStorageVersion(t *testing.T) {
	for _, r := range Complete() {
		hubs := 0
		for _, v := range r.Versions {
			if v.ToHub == nil {
				hubs++
			}
		}
		if want := map[bool]int{true: 0, false: 1}[r.StoredAs != nil]; hubs != want {
			t.Errorf("%s: %d storage versions, want %d", r.GroupResource(), hubs, want)
		}
		if (r.Columns == nil) != (r.Cells == nil) {
			t.Errorf("%s: columns without cells, or cells without columns", r.GroupResource())
		}
		if (r.Fields == nil) != (len(r.FieldNames) == 0) {
			t.Errorf("%s: fields without names, or names without fields", r.GroupResource())
		}
	}
}

// hub returns an object of the type in which r's objects are held.
func hub(t *testing.T, table []*registry.Resource, r *registry.Resource) registry.Object {
	t.Helper()
	if r.StoredAs != nil {
		for _, other := range table {
			if other.GroupResource() == *r.StoredAs {
				return hub(t, table, other)
			}
		}
		t.Fatalf("%s is stored as nothing", r.GroupResource())
	}
	obj, ok := r.Storage().New().(registry.Object)
	if !ok {
		t.Fatalf("%s: %T has no metadata", r.GroupResource(), r.Storage().New())
	}
	return obj
}

func example(t *testing.T, table []*registry.Resource, r *registry.Resource) registry.Object {
	obj := hub(t, table, r)
	obj.SetName("example")
	if r.Namespaced {
		obj.SetNamespace("default")
	}
	obj.SetUID(types.UID("6a1f7b2e-0000-4000-8000-000000000000"))
	obj.SetLabels(map[string]string{"app": "example"})
	obj.SetCreationTimestamp(metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)))
	if r.Rules.Default != nil {
		r.Rules.Default(obj)
	}
	return obj
}

func TestObjectsSurviveDefaultsVersionsAndStorage(t *testing.T) {
	table := Complete()
	for _, r := range table {
		if r.Create != nil || !r.Serves("get") {
			continue
		}
		t.Run(r.GroupResource().String(), func(t *testing.T) {
			obj := example(t, table, r)
			again := obj.DeepCopyObject().(registry.Object)
			if r.Rules.Default != nil {
				r.Rules.Default(again)
			}
			if !apiequality.Semantic.DeepEqual(obj, again) {
				t.Errorf("defaulting twice gives something else")
			}
			back := roundTrip(t, obj)
			if !apiequality.Semantic.DeepEqual(obj, back) {
				t.Errorf("stored and read again:\n%#v\nwant\n%#v", back, obj)
			}
			for _, v := range r.Versions {
				if v.FromHub == nil || v.ToHub == nil {
					continue
				}
				other, err := v.FromHub(obj.DeepCopyObject().(registry.Object))
				if err != nil {
					t.Fatalf("convert to %s: %v", v.Name, err)
				}
				hub, err := v.ToHub(other)
				if err != nil {
					t.Fatalf("convert from %s: %v", v.Name, err)
				}
				if !apiequality.Semantic.DeepEqual(obj, hub) {
					t.Errorf("through %s:\n%#v\nwant\n%#v", v.Name, hub, obj)
				}
			}
		})
	}
}

// roundTrip encodes obj as it is stored, and decodes it.
func roundTrip(t *testing.T, obj registry.Object) registry.Object {
	t.Helper()
	back := obj.DeepCopyObject()
	type message interface {
		Marshal() ([]byte, error)
		Unmarshal([]byte) error
		Reset()
	}
	m, ok := back.(message)
	if !ok {
		t.Fatalf("%T has no protobuf encoding", obj)
	}
	b, err := m.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	m.Reset()
	if err := m.Unmarshal(b); err != nil {
		t.Fatal(err)
	}
	return back.(registry.Object)
}

func TestCellsFitColumns(t *testing.T) {
	table := Complete()
	for _, r := range table {
		if r.Cells == nil {
			continue
		}
		if cells := r.Cells(example(t, table, r)); len(cells) != len(r.Columns) {
			t.Errorf("%s: %d cells for %d columns", r.GroupResource(), len(cells), len(r.Columns))
		}
	}
}

// TestUpdateRulesTakeEmptyObjects checks that no rule panics on an object with
// nothing in it: clients send such.
func TestRulesTakeEmptyObjects(t *testing.T) {
	table := Complete()
	for _, r := range table {
		if r.Create != nil || !r.Serves("create") || r.Versions[0].NewList == nil {
			continue
		}
		t.Run(r.GroupResource().String(), func(t *testing.T) {
			obj, old := example(t, table, r), example(t, table, r)
			ctx := t.Context()
			if f := r.Rules.PrepareCreate; f != nil {
				f(ctx, obj)
			}
			if f := r.Rules.Validate; f != nil {
				f(ctx, obj)
			}
			exercise(t, &r.Rules, obj, old)
			for i := range r.Subresources {
				if rules := r.Subresources[i].Update; rules != nil {
					exercise(t, rules, obj.DeepCopyObject().(registry.Object), old)
				}
			}
		})
	}
}

func exercise(t *testing.T, rules *registry.Rules, obj, old registry.Object) {
	ctx := t.Context()
	if f := rules.Warnings; f != nil {
		f(ctx, obj, old)
	}
	if f := rules.PrepareUpdate; f != nil {
		f(ctx, obj, old)
	}
	if f := rules.ValidateUpdate; f != nil {
		f(ctx, obj, old)
	}
	var _ runtime.Object = obj
}

// TestWireFields: what is selected by without decoding is what Fields returns.
func TestWireFields(t *testing.T) {
	table := Complete()
	backend := storetest.NewMemory(t)
	reg, err := registry.NewRegistry(backend, nil, table...)
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, r := range table {
		for _, name := range r.WireFields {
			if !slices.Contains(r.FieldNames, name) {
				t.Errorf("%s: %s is not selectable", r.GroupResource(), name)
			}
			obj := example(t, table, r)
			set(t, obj, name, "some-value")
			if got := r.Fields(obj)[name]; got != "some-value" {
				t.Errorf("%s: selected by %s %q", r.GroupResource(), name, got)
			}
			value, err := registry.MarshalProtobuf(obj.(registry.Protobuf))
			if err != nil {
				t.Fatal(err)
			}
			key := registry.Key(r.GroupResource(), obj.GetNamespace(), name)
			if _, err := backend.Txn(t.Context(), store.Op{Key: key, Value: value}); err != nil {
				t.Fatal(err)
			}
			s, _ := reg.Store(r.GroupResource())
			for want, value := range []string{"other", "some-value"} {
				sel := registry.Selector{Fields: fields.OneTermEqualSelector(name, value)}
				if list, err := s.List(t.Context(), registry.ListOptions{Selector: sel}); err != nil || len(list.Items) != want {
					t.Errorf("%s: %s=%s selects %d objects, want %d: %v", r.GroupResource(), name, value, len(list.Items), want, err)
				}
			}
			checked++
		}
	}
	if checked < 10 {
		t.Errorf("only %d fields were checked", checked)
	}
}

// set gives the string field of that name a value.
func set(t *testing.T, obj registry.Object, name, value string) {
	t.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		t.Fatal(err)
	}
	if err := unstructured.SetNestedField(content, value, strings.Split(name, ".")...); err != nil {
		t.Fatal(err)
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(content, obj); err != nil {
		t.Fatal(err)
	}
}
