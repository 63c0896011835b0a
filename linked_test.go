package main_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// templated are the packages linked into skiff that import a template package.
// The executable is built with the overlay of scripts/overlay, which takes calls
// of methods out of templates: so none of their templates may call one. The
// reason says why none does.
var templated = map[string]string{
	"github.com/containerd/containerd/v2/contrib/apparmor":    "the default profile, filled from a struct of texts",
	"github.com/containerd/containerd/v2/core/mount/manager":  "mount options, filled by functions",
	"github.com/containerd/containerd/v2/internal/cri/server": "a CNI configuration, filled from a struct of texts",
	"github.com/containerd/containerd/v2/internal/fsview":     "mount options, filled by functions",
	"github.com/google/cel-go/cel":                            "prompts for language models, which nothing asks for",
	"github.com/hashicorp/go-msgpack/v2/codec":                "the source of a generator that is not built",
	"github.com/spf13/cobra":                                  "help of commands, of which there are none: feature gates bring it along, by a type for flags",
	"github.com/urfave/cli/v2":                                "help, which cli prints in a way of its own because these templates call methods",
	"html/template":                                           "it is a template package",
	"net/rpc":                                                 "a page for debugging that is not served",
}

// weight are packages, and all below them, that nothing linked into skiff may
// import, each with the reason.
var weight = map[string]string{
	"github.com/armon/go-metrics":        "the tag hashicorpmetrics takes its newer self, which is linked anyway",
	"github.com/intel/goresctrl/pkg/rdt": "the tag no_rdt: nothing in Kubernetes asks for cache allocation of Intel's",
	"github.com/russross/blackfriday":    "the tag urfave_cli_no_docs: nobody asks for the command line's manual page",
	"golang.org/x/net/trace":             "the tag grpcnotrace: its pages about calls are not served",
	"k8s.io/kubectl":                     "it is an executable of its own",
}

// linked returns the imports of each package that is linked into skiff.
func linked(t *testing.T) map[string][]string {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-tags", buildTags(t), "-f", `{{.ImportPath}} {{join .Imports " "}}`, ".")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	imports := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		imports[words[0]] = words[1:]
	}
	return imports
}

var tagsLine = regexp.MustCompile(`(?m)^TAGS +:= (\S+)$`)

// buildTags are the tags that the Makefile builds with, however this test is run.
func buildTags(t *testing.T) string {
	t.Helper()
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	found := tagsLine.FindSubmatch(makefile)
	if found == nil {
		t.Fatal("the Makefile has no line TAGS := ...")
	}
	return string(found[1])
}

func TestTemplates(t *testing.T) {
	for p, imports := range linked(t) {
		for _, imported := range imports {
			if (imported == "text/template" || imported == "html/template") && templated[p] == "" {
				t.Errorf("%s imports %s: if its templates call no method, say so in templated; see docs/adr/0006-linked-code.md", p, imported)
			}
		}
	}
}

func TestWeight(t *testing.T) {
	for p, imports := range linked(t) {
		for _, imported := range imports {
			for folder, why := range weight {
				if in(imported, folder) && !in(p, folder) {
					t.Errorf("%s imports %s: %s", p, imported, why)
				}
			}
		}
	}
}

// TestUnusedMethodsAreLeftOut: where code that can be reached calls methods by
// names that only a run knows, the linker must keep all exported methods of all
// types, a quarter of the executable.
func TestUnusedMethodsAreLeftOut(t *testing.T) {
	cmd := exec.Command("scripts/overlay", "go", "build", "-tags", buildTags(t),
		"-ldflags", "-s -w -dumpdep", "-o", filepath.Join(t.TempDir(), "skiff"),
		// The go command repeats what the linker said of a main package. With
		// flags of its own, this is another one than what users build.
		"-gcflags", module+"=-N", ".")
	// The linker prints what leads to what, and marks those that call so.
	graph, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, graph[max(0, len(graph)-2000):])
	}
	if !bytes.Contains(graph, []byte("main.main -> ")) {
		t.Fatal("the linker printed no graph")
	}
	for line := range bytes.Lines(graph) {
		if from, to, ok := bytes.Cut(line, []byte(" -> ")); ok && bytes.Contains(to, []byte("<ReflectMethod>")) {
			t.Errorf("%s looks up methods by name, reached from %s", bytes.Fields(to)[0], from)
		}
	}
}
