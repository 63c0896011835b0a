package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// listed is what `go list -json` tells of a package.
type listed struct {
	ImportPath   string
	Doc          string
	GoFiles      []string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// name is the package's folder below the project's root, "" for the root itself.
func (p listed) name() string { return below(p.ImportPath) }

const module = "skiff"

func below(importPath string) string {
	return strings.TrimPrefix(strings.TrimPrefix(importPath, module), "/")
}

func ours(importPath string) bool {
	return importPath == module || strings.HasPrefix(importPath, module+"/")
}

func packages(t *testing.T) []listed {
	t.Helper()
	all, err := list()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// list asks once for all tests.
var list = sync.OnceValues(func() ([]listed, error) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Doc,GoFiles,Imports,TestImports,XTestImports", "./...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w\n%s", err, stderr.String())
	}
	var all []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		all = append(all, p)
	}
})

// rule allows the packages below a folder to import, of this project, what is
// below those folders, and nothing else. A package may always import what is
// below itself.
type rule struct {
	// of is a folder and all below it; the longest one that fits a package
	// counts.
	of string
	// may are patterns: "a" is that package, "a/..." is it and all below.
	may []string
	why string
}

var controlPlane = []string{"server/client", "server/clusterinfo", "server/pki"}

var rules = []rule{
	{"", []string{"cli"}, "main only dispatches"},
	{"cli", []string{"server", "server/clusterinfo", "server/join", "server/pki", "agent", "agent/daemon", "agent/join", "agent/node", "proxy", "proxy/overlay", "runtime/...", "datadir", "hostnet", "netdump", "version"},
		"the command line configures the parts and removes what they made; it does none of their work"},
	{"version", nil, "a leaf that everyone may print"},
	{"atomicfile", nil, "a leaf that everyone may import"},
	{"datadir", []string{"atomicfile", "version"}, "a folder's lock and marker know nothing of what is in it"},
	{"dirwatch", nil, "a leaf that everyone may import"},
	{"metric", []string{"version"}, "a leaf that everyone may import"},
	{"hostaddr", []string{"netdump"}, "a leaf that everyone may import"},
	{"hostnet", []string{"netdump"}, "a leaf that everyone may import"},
	{"latch", nil, "a leaf that everyone may import"},
	{"netdump", nil, "a leaf that everyone may import"},
	{"netnstest", nil, "a leaf that every test may import"},
	{"nodeaddr", nil, "a leaf that everyone may import"},
	{"resident", nil, "a leaf that everyone may import"},
	{"store", []string{"store/...", "atomicfile"}, "a store knows keys and bytes, not what they mean"},
	{"runtime", []string{"runtime/...", "atomicfile", "dirwatch", "metric", "netdump"}, "a runtime knows containers, not the cluster"},
	{"scheduler", append([]string{"scheduler/..."}, controlPlane...),
		"a scheduler sees the cluster through the API alone, so that it may run anywhere"},
	{"scheduler/plugins", []string{"scheduler/framework", "scheduler/plugins/..."}, "a plugin knows the framework, not the loop that runs it"},
	{"agent", append([]string{"agent/...", "runtime/cri", "runtime/cri/metered", "metric", "version"}, controlPlane...),
		"an agent sees the cluster through the API, and containers through CRI, so that any runtime serves"},
	{"agent/tunnel", []string{"server/tunnel/wire"}, "both ends of a tunnel share its protocol, and nothing else"},
	{"agent/node", append([]string{"agent/...", "runtime/...", "proxy", "proxy/overlay", "hostnet", "latch"}, controlPlane...),
		"the one place that wires a node: its agent, its runtime and its proxy"},
	{"agent/join", append([]string{"atomicfile"}, controlPlane...), "who a node is depends on nothing that it runs"},
	{"agent/daemon", append([]string{"agent/...", "proxy", "datadir", "hostaddr", "hostnet", "nodeaddr", "resident", "server/registry/podtemplate"}, controlPlane...),
		"the one place that wires an agent's process"},
	{"proxy", append([]string{"proxy/...", "atomicfile", "hostnet", "latch", "netdump"}, controlPlane...),
		"a proxy sees the cluster through the API alone, so that it may run without an agent"},
	{"server", []string{"server/...", "store", "store/cluster", "scheduler", "agent", "agent/node", "agent/cgroup", "proxy", "proxy/overlay", "datadir", "atomicfile", "hostaddr", "hostnet", "netdump", "nodeaddr", "resident", "version"},
		"the one place that wires a server; the box's node runs in its process"},
	{"server/api", []string{"server/admission", "server/discovery", "server/openapi", "server/registry", "store", "metric", "version"},
		"verbs work on any resource: they know the registry, not its kinds"},
	{"server/registry", []string{"server/registry/...", "server/matchcondition", "store"}, "kinds know their rules and the store's seam"},
	{"server/matchcondition", nil, "a leaf: what is checked when it is stored, and what is carried out"},
	{"server/admission", []string{"server/admission/...", "server/authz/node", "server/matchcondition"},
		"plugins see objects, not how they are stored; the node authorizer's graph also limits what a node may write"},
	{"server/authn", []string{"server/authn/...", "server/registry", "server/pki"}, "tokens name objects by the registry's errors"},
	{"server/authz", []string{"server/authz/..."}, "who may do what is decided from rules alone"},
	{"server/controller", append([]string{"server/controller/...", "metric"}, controlPlane...), "the engine sees the cluster through the API alone"},
	{"server/controllers", append([]string{"server/controller/...", "server/controllers/...", "server/join", "nodeaddr"}, controlPlane...),
		"a controller sees the cluster through the API alone, so that it runs on any server"},
	{"server/manifests", append([]string{"server/controller/...", "dirwatch"}, controlPlane...),
		"manifests are applied through the API alone, as a user would"},
	{"server/join", []string{"server/pki"}, "tokens are Secrets, whoever asks for them"},
	{"server/tunnel", []string{"server/tunnel/wire", "metric"}, "a tunnel knows nodes by name; what goes through it is the caller's"},
	{"server/tunnel/wire", nil, "both ends of a tunnel share its protocol, and nothing else"},
	{"server/client", []string{"metric"}, "a leaf that everyone may import"},
	{"server/clusterinfo", nil, "a leaf that everyone may import"},
	{"server/pki", []string{"atomicfile"}, "a leaf that everyone may import"},
	{"server/openapi", []string{"server/api", "server/registry", "server/openapi/..."}, "documents describe the resources that the API serves"},
	{"server/discovery", []string{"server/registry"}, "discovery lists what the registry holds"},
	{"test", []string{"store/...", "server/...", "agent/...", "runtime/...", "proxy/...", "scheduler/...", "cli", "version", "test/..."},
		"what drives a whole may know it"},
}

// ruleFor is the rule of the longest folder that p is in.
func ruleFor(name string) (best rule, ok bool) {
	for _, r := range rules {
		if in(name, r.of) && (!ok || len(r.of) > len(best.of)) {
			best, ok = r, true
		}
	}
	return best, ok
}

// in tells whether a package is the folder or below it; the root holds itself alone.
func in(name, folder string) bool {
	return name == folder || folder != "" && strings.HasPrefix(name, folder+"/")
}

func (r rule) allows(name, imported string) bool {
	if in(imported, name) && name != "" {
		return true
	}
	for _, pattern := range r.may {
		folder, whole := strings.CutSuffix(pattern, "/...")
		if imported == folder || whole && in(imported, folder) {
			return true
		}
	}
	return false
}

func TestImportRules(t *testing.T) {
	for _, p := range packages(t) {
		r, ok := ruleFor(p.name())
		if !ok {
			t.Errorf("%s: there is no rule for its imports, write one", p.ImportPath)
			continue
		}
		for _, imported := range p.Imports {
			if ours(imported) && !r.allows(p.name(), below(imported)) {
				t.Errorf("%s imports %s: %s", p.ImportPath, imported, r.why)
			}
		}
	}
}

// TestSiblings: packages of a list know the engine and what it offers, not one
// another; what two share belongs beside the engine. Only the list itself knows
// them all.
func TestSiblings(t *testing.T) {
	shared := map[string]bool{"scheduler/plugins/normalize": true}
	for _, p := range packages(t) {
		for _, list := range []string{"server/controllers", "scheduler/plugins"} {
			if p.name() == list || !in(p.name(), list) {
				continue
			}
			for _, imported := range p.Imports {
				name := below(imported)
				if ours(imported) && in(name, list) && !in(name, p.name()) && !shared[name] {
					t.Errorf("%s imports its sibling %s", p.ImportPath, imported)
				}
			}
		}
	}
}

// helper are packages that exist for tests: they drag in testing, or fake what
// must be real. So does all that is below test/.
var helper = regexp.MustCompile(`test$|^fakes?$`)

func isHelper(importPath string) bool {
	return in(below(importPath), "test") || helper.MatchString(path.Base(importPath))
}

func TestHelpersStayInTests(t *testing.T) {
	for _, p := range packages(t) {
		if isHelper(p.ImportPath) {
			continue
		}
		for _, imported := range p.Imports {
			if ours(imported) && isHelper(imported) {
				t.Errorf("%s imports %s, which is for tests", p.ImportPath, imported)
			}
			if imported == "testing" {
				t.Errorf("%s imports testing", p.ImportPath)
			}
		}
	}
}

// TestForeignImports: k8s.io/kubernetes is no library, and the pure half of the
// store stays free of the replicated log.
func TestForeignImports(t *testing.T) {
	for _, p := range packages(t) {
		for _, imports := range [][]string{p.Imports, p.TestImports, p.XTestImports} {
			for _, imported := range imports {
				if imported == "k8s.io/kubernetes" || strings.HasPrefix(imported, "k8s.io/kubernetes/") {
					t.Errorf("%s imports %s: it is not published as a library", p.ImportPath, imported)
				}
				if in(p.name(), "store/mvcc") && strings.HasPrefix(imported, "github.com/hashicorp/") {
					t.Errorf("%s imports %s: revisions know no replication", p.ImportPath, imported)
				}
			}
		}
	}
}

func TestPackageDocs(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.GoFiles) > 0 && p.Doc == "" {
			t.Errorf("%s has no package comment: say what it is for", p.ImportPath)
		}
	}
}
