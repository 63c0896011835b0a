package service_test

import (
	"bytes"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/client-go/kubernetes/scheme"

	"skiff/proxy/service"
)

var update = flag.Bool("update", false, "rewrite the expected rules in testdata")

// TestCompile translates the service in each archive of testdata, as the node
// named n1 in zone z1 does, and compares with the archive's rules.
func TestCompile(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no testdata: %v", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			svc, list := decode(t, archive.Files[0].Data)
			node := service.Node{Name: "n1", Zone: "z1", Local: []netip.Addr{netip.MustParseAddr("10.43.0.10")}, IPs: []netip.Addr{netip.MustParseAddr("192.0.2.7")}}
			got := describe(service.Compile(node, svc, list))
			if *update {
				archive.Files[1].Data = []byte(got)
				if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want := string(archive.Files[1].Data); got != want {
				t.Errorf("got:\n%swant:\n%s", got, want)
			}
		})
	}
}

func decode(t *testing.T, yaml []byte) (svc *corev1.Service, list []*discoveryv1.EndpointSlice) {
	t.Helper()
	for doc := range bytes.SplitSeq(yaml, []byte("\n---\n")) {
		o, _, err := scheme.Codecs.UniversalDeserializer().Decode(doc, nil, nil)
		if err != nil {
			t.Fatalf("%v in\n%s", err, doc)
		}
		switch o := o.(type) {
		case *corev1.Service:
			svc = o
		case *discoveryv1.EndpointSlice:
			list = append(list, o)
		}
	}
	return svc, list
}

func describe(rules service.Rules) string {
	var lines []string
	for f, b := range rules {
		line := fmt.Sprintf("%s %s", f, []string{"forward", "reject", "drop"}[b.Action])
		if b.Action == service.Forward {
			line += fmt.Sprintf(" %v", b.Endpoints)
		}
		if len(b.Inside) > 0 {
			line += fmt.Sprintf(" inside %v", b.Inside)
		}
		if len(b.ForInside()) > 0 {
			line += fmt.Sprintf(" own %v affinity %v", b.Own, b.Affinity)
		}
		if len(b.Serving) > 0 {
			line += fmt.Sprintf(" serving %v", b.Serving)
		}
		if len(b.Sources) > 0 {
			line += fmt.Sprintf(" from %v", b.Sources)
		}
		lines = append(lines, line+" masquerade "+[]string{"outside", "always", "never"}[b.Masquerade]+"\n")
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

func TestDiffAndMerge(t *testing.T) {
	f := func(s string) service.Frontend {
		ap := netip.MustParseAddrPort(s)
		return service.Frontend{Addr: ap.Addr(), Protocol: service.TCP, Port: ap.Port()}
	}
	b := func(s string) *service.Backend {
		return &service.Backend{Endpoints: []netip.AddrPort{netip.MustParseAddrPort(s)}}
	}
	one, two, three := service.Rules{f("10.43.0.1:80"): b("10.42.0.1:80")}, service.Rules{f("10.43.0.1:80"): b("10.42.0.2:80"), f("10.43.0.2:80"): b("10.42.0.3:80")}, service.Rules{}
	if d := service.Diff(one, one); len(d) != 0 {
		t.Errorf("equal rules differ: %v", d)
	}
	if d := service.Diff(one, two); len(d) != 2 {
		t.Errorf("%d changes, want 2", len(d))
	}
	all := append(service.Diff(one, two), service.Diff(two, three)...)
	if m := service.Merge(all); len(m) != 1 || m[0].Old != one[f("10.43.0.1:80")] || m[0].New != nil {
		t.Errorf("merged into %v, want only the end of the first frontend", m)
	}
}
