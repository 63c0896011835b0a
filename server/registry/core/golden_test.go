package core_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/warning"
	"sigs.k8s.io/yaml"

	"skiff/server/registry"
	"skiff/server/registry/core"
	"skiff/store/storetest"
)

var update = flag.Bool("update", false, "write the results of testdata/*.txtar")

func now() time.Time { return time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC) }

// newRegistry has the core resources, and the addresses that services claim.
func newRegistry(t *testing.T) *registry.Registry {
	t.Helper()
	resources := core.Resources(core.Deps{ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12")}, Now: now})
	reg, err := registry.NewRegistry(storetest.NewMemory(t), now, resources...)
	if err != nil {
		t.Fatal(err)
	}
	return reg
}

// warned collects the texts of Warning headers.
type warned []string

func (w *warned) AddWarning(_, text string) { *w = append(*w, text) }

// TestGolden creates objects and updates them, and compares what is stored, or
// said, in the end. A file's sections are "create TITLE", which begins a case, then
// any number of "update" or "update SUBRESOURCE", then "out".
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no testdata", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { runGolden(t, file) })
	}
}

func runGolden(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out []txtar.File
	for _, c := range cases(archive.Files) {
		got := runCase(t, c.steps)
		out = append(append(out, c.steps...), txtar.File{Name: "out", Data: []byte(got)})
		if !*update && got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", c.steps[0].Name, got, c.want)
		}
	}
	if *update {
		archive.Files = out
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

type goldenCase struct {
	steps []txtar.File
	want  string
}

func cases(files []txtar.File) []goldenCase {
	var list []goldenCase
	for _, f := range files {
		switch {
		case strings.HasPrefix(f.Name, "create"):
			list = append(list, goldenCase{steps: []txtar.File{f}})
		case f.Name == "out":
			list[len(list)-1].want = string(f.Data)
		default:
			last := &list[len(list)-1]
			last.steps = append(last.steps, f)
		}
	}
	return list
}

// runCase returns warnings, then the object or the errors, of the last step.
func runCase(t *testing.T, steps []txtar.File) string {
	reg := newRegistry(t)
	for i, step := range steps {
		var texts warned
		obj, err := apply(t, warning.WithWarningRecorder(t.Context(), &texts), reg, step)
		if i+1 < len(steps) && err != nil {
			return fmt.Sprintf("%s: %v\n", step.Name, err)
		}
		if i+1 == len(steps) {
			return outcome(texts, obj, err)
		}
	}
	return ""
}

func apply(t *testing.T, ctx context.Context, reg *registry.Registry, step txtar.File) (registry.Object, error) {
	var kind struct{ Kind string }
	if err := yaml.Unmarshal(step.Data, &kind); err != nil {
		t.Fatalf("%s: %v", step.Name, err)
	}
	plural := strings.ToLower(kind.Kind) + "s"
	if kind.Kind == "Endpoints" {
		plural = "endpoints"
	}
	s, ok := reg.Store(schema.GroupResource{Resource: plural})
	if !ok {
		t.Fatalf("%s: no resource %s", step.Name, plural)
	}
	res := s.Resource()
	obj := res.Versions[0].New().(registry.Object)
	if err := yaml.UnmarshalStrict(step.Data, obj); err != nil {
		t.Fatalf("%s: %v", step.Name, err)
	}
	if res.Namespaced {
		obj.SetNamespace("default")
	}
	if strings.HasPrefix(step.Name, "create") {
		w, err := s.Create(ctx, obj, registry.Hooks{}, false)
		return w.Object, err
	}
	rules := &res.Rules
	if _, sub, ok := strings.Cut(step.Name, "update "); ok {
		i := slices.IndexFunc(res.Subresources, func(s registry.Subresource) bool { return s.Name == sub })
		rules = res.Subresources[i].Update
	}
	if f := res.Rules.Default; f != nil {
		f(obj)
	}
	change := func(_ context.Context, old registry.Object) (registry.Object, error) {
		obj.SetResourceVersion(old.GetResourceVersion())
		return obj, nil
	}
	w, err := s.Update(ctx, obj.GetNamespace(), obj.GetName(), change, registry.Hooks{}, registry.UpdateOptions{Rules: rules})
	return w.Object, err
}

func outcome(texts []string, obj registry.Object, err error) string {
	var b strings.Builder
	for _, text := range texts {
		fmt.Fprintf(&b, "warning: %s\n", text)
	}
	if err != nil {
		status, ok := errors.AsType[*apierrors.StatusError](err)
		if !ok || status.ErrStatus.Details == nil || len(status.ErrStatus.Details.Causes) == 0 {
			fmt.Fprintf(&b, "error: %v\n", err)
			return b.String()
		}
		for _, c := range status.ErrStatus.Details.Causes {
			fmt.Fprintf(&b, "%s: %s\n", c.Field, c.Message)
		}
		return b.String()
	}
	obj.SetUID("")
	obj.SetResourceVersion("")
	data, _ := yaml.Marshal(obj)
	lines := strings.SplitAfter(string(data), "\n")
	lines = slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "  creationTimestamp:") })
	return b.String() + strings.Join(lines, "")
}
