package manifests

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

func id(s string) identity {
	i, ok := parseIdentity(s)
	if !ok {
		panic(s)
	}
	return i
}

// of makes items of a file out of identities, and a record of them.
func of(file string, ids ...string) (items []*item, rec *fileRecord) {
	rec = &fileRecord{file: file}
	for n, s := range ids {
		items = append(items, &item{document: document{number: n + 1}, identity: id(s), file: file})
		rec.objects = append(rec.objects, id(s))
	}
	return items, rec
}

func (p plan) String() string {
	var lines []string
	for _, it := range p.apply {
		lines = append(lines, "apply "+it.identity.String()+" of "+it.file)
	}
	for _, r := range p.remove {
		lines = append(lines, "remove "+r.identity.String()+" of "+r.file)
	}
	for _, x := range p.problems {
		lines = append(lines, x.file+": "+x.text)
	}
	return strings.Join(lines, "\n")
}

func TestPlan(t *testing.T) {
	const ns, crd, cm, other = "Namespace shop", "CustomResourceDefinition.apiextensions.k8s.io w.example.com", "ConfigMap shop/a", "ConfigMap shop/b"
	a, recA := of("a.yaml", cm, crd, ns)
	b, recB := of("b.yaml", other, cm)
	for _, tc := range []struct {
		name    string
		folder  folder
		records []*fileRecord
		want    string
	}{
		{
			"what others live in comes first", folder{read: map[string][]*item{"a.yaml": a}}, nil,
			"apply " + ns + " of a.yaml\napply " + crd + " of a.yaml\napply " + cm + " of a.yaml",
		},
		{
			"and goes last", folder{read: map[string][]*item{"a.yaml": nil}}, []*fileRecord{recA},
			"remove " + cm + " of a.yaml\nremove " + crd + " of a.yaml\nremove " + ns + " of a.yaml",
		},
		{
			"the first file by name has an object", folder{read: map[string][]*item{"b.yaml": b, "a.yaml": a}}, []*fileRecord{recB},
			"apply " + ns + " of a.yaml\napply " + crd + " of a.yaml\napply " + cm + " of a.yaml\napply " + other + " of b.yaml\n" +
				"b.yaml: document 2, ConfigMap shop/a: is in a.yaml too, which is the first by name and so the one that counts",
		},
		{
			"also if it cannot be read", folder{read: map[string][]*item{"b.yaml": b}, held: map[string]bool{"a.yaml": true}}, []*fileRecord{recA},
			"apply " + other + " of b.yaml\n" +
				"b.yaml: document 2, ConfigMap shop/a: is in a.yaml too, which is the first by name and so the one that counts",
		},
		{
			"but not if it is missing", folder{read: map[string][]*item{"b.yaml": b}, missing: map[string]bool{"a.yaml": true}}, []*fileRecord{recA},
			"apply " + other + " of b.yaml\napply " + cm + " of b.yaml",
		},
		{
			"nothing of what is held or missing goes",
			folder{held: map[string]bool{"a.yaml": true}, missing: map[string]bool{"b.yaml": true}}, []*fileRecord{recA, recB}, "",
		},
		{
			"what another file has stays", folder{read: map[string][]*item{"a.yaml": nil, "b.yaml": b[1:]}}, []*fileRecord{recA, recB},
			"apply " + cm + " of b.yaml\nremove " + other + " of b.yaml\nremove " + crd + " of a.yaml\nremove " + ns + " of a.yaml",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := makePlan(tc.folder, tc.records).String(); got != tc.want {
				t.Errorf("got\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
}

func TestIdentities(t *testing.T) {
	for _, i := range []identity{
		{GroupKind: schema.GroupKind{Kind: "Namespace"}, name: "shop"},
		{GroupKind: schema.GroupKind{Group: "apps", Kind: "Deployment"}, namespace: "shop", name: "web"},
		{GroupKind: schema.GroupKind{Group: "rbac.authorization.k8s.io", Kind: "ClusterRole"}, name: "system:node"},
	} {
		if got, ok := parseIdentity(i.String()); !ok || got != i {
			t.Errorf("%s is read as %v, %v", i, got, ok)
		}
	}
	for _, s := range []string{"", "Deployment", "Deployment ", " web", "Deployment shop/"} {
		if got, ok := parseIdentity(s); ok {
			t.Errorf("%q is read as %v", s, got)
		}
	}
}

func TestRecordNames(t *testing.T) {
	for file, want := range map[string]string{
		"web.yaml":                         "manifest-web.yaml",
		"10-web.yml":                       "manifest-10-web.yml",
		"My Web_App.yaml":                  "manifest-my-web-app-yaml-364f5faa",
		"my web_app.yaml":                  "manifest-my-web-app-yaml-",
		"größe.yaml":                       "manifest-gr--e-yaml-",
		strings.Repeat("x", 250) + ".yaml": "manifest-" + strings.Repeat("x", 200) + "-",
	} {
		got := recordName(file)
		if !strings.HasPrefix(got, want) || len(got) > 253 {
			t.Errorf("%s is recorded as %s, want %s", file, got, want)
		}
	}
	if a, b := recordName("My Web.yaml"), recordName("my web.yaml"); a == b {
		t.Error("two files have one record: " + fmt.Sprint(a))
	}
}
