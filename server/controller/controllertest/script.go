package controllertest

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"
)

func runScript(t *testing.T, build Build, ar *txtar.Archive, f *faults) {
	s := newSession(t, build, f)
	s.agent = newKubelet(s)
	defer func() {
		s.agent.stop()
		s.stop()
		synctest.Wait()
	}()
	for n, line := range strings.Split(string(ar.Comment), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		cmd, rest, _ := strings.Cut(line, " ")
		if err := s.command(cmd, strings.TrimSpace(rest), ar); err != nil {
			t.Fatalf("line %d: %s: %v", n+1, line, err)
		}
	}
}

func (s *session) command(cmd, rest string, ar *txtar.Archive) error {
	args := strings.Fields(rest)
	switch cmd {
	case "apply":
		for _, f := range args {
			if file(ar, f) == "" {
				return fmt.Errorf("no file %s", f)
			}
			if err := s.apply(file(ar, f)); err != nil {
				return err
			}
		}
	case "delete":
		body := ""
		if len(args) > 2 {
			body = fmt.Sprintf(`{"propagationPolicy":%q}`, strings.ToUpper(args[2][:1])+args[2][1:])
		}
		return s.call("delete", args[0], args[1], "", body)
	case "patch":
		_, p, _ := strings.Cut(rest, " ")
		_, p, _ = strings.Cut(p, " ")
		return s.call("patch", args[0], args[1], "", p)
	case "kubelet":
		s.agent.set(args[0] == "on")
	case "finish":
		return s.agent.finish(args[0], args[1])
	case "sleep", "quiet":
		d, err := time.ParseDuration(args[0])
		if err != nil {
			return err
		}
		synctest.Wait()
		before := s.api.Writes()
		time.Sleep(d)
		synctest.Wait()
		if n := s.api.Writes() - before; cmd == "quiet" && n > 0 {
			return fmt.Errorf("%d writes while nothing happened", n)
		}
	case "restart":
		s.stop()
		s.start()
	case "peek":
		if s.fault == nil {
			return s.expect(ar, args[0], args[1], args[2:])
		}
	case "expect":
		return s.expect(ar, args[0], args[1], args[2:])
	default:
		return fmt.Errorf("unknown command %q", cmd)
	}
	synctest.Wait()
	return nil
}

func file(ar *txtar.Archive, name string) string {
	for _, f := range ar.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

// apply creates or updates the objects of a YAML file.
func (s *session) apply(text string) error {
	for _, doc := range strings.Split(text, "---\n") {
		if strings.TrimSpace(doc) == "" {
			continue
		}
		j, err := yaml.YAMLToJSON([]byte(doc))
		if err != nil {
			return err
		}
		o, err := body(j).decode()
		if err != nil {
			return err
		}
		gvk := schema.FromAPIVersionAndKind(o.GetAPIVersion(), o.GetKind())
		res := s.kind(gvk)
		if res == nil {
			return fmt.Errorf("kind %s is not served", gvk)
		}
		name := o.GetName()
		if res.namespaced {
			if o.GetNamespace() == "" {
				o.SetNamespace("default")
			}
			name = o.GetNamespace() + "/" + name
		}
		j, _ = json.Marshal(o)
		err = s.call("create", res.gvr.Resource, name, "", string(j))
		if apierrors.IsAlreadyExists(err) {
			err = s.call("update", res.gvr.Resource, name, "", string(j))
		}
		if err != nil {
			return err
		}
		if o.Object["status"] != nil && res.status {
			if err := s.call("patch", res.gvr.Resource+"/status", name, "", string(j)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *session) kind(gvk schema.GroupVersionKind) *resource {
	for gvr, res := range s.api.resources {
		if res.kind == gvk.Kind && gvr.GroupVersion() == gvk.GroupVersion() {
			return res
		}
	}
	return nil
}

// call serves a request of the script itself.
func (s *session) call(verb, plural, key, patch, data string) error {
	plural, sub, _ := strings.Cut(plural, "/")
	r := &request{verb: verb, sub: sub, body: body(data), patch: "application/merge-patch+json"}
	for gvr, res := range s.api.resources {
		if gvr.Resource == plural {
			r.res = res
		}
	}
	if r.res == nil {
		return fmt.Errorf("resource %q is not served", plural)
	}
	r.name = key
	if ns, name, ok := strings.Cut(key, "/"); ok {
		r.namespace, r.name = ns, name
	}
	_, err := s.api.serve(r)
	return err
}

// expect compares a table with a file of the archive. Under faults the state is
// given time to come.
func (s *session) expect(ar *txtar.Archive, name, plural string, paths []string) error {
	want := file(ar, name)
	got := s.table(plural, paths)
	if s.fault != nil {
		for range 60 {
			if got == want {
				break
			}
			time.Sleep(10 * time.Second)
			synctest.Wait()
			got = s.table(plural, paths)
		}
	}
	if got == want || s.fault == nil {
		return Compare(ar, name, got)
	}
	return differs(name, got, want)
}

// Compare compares a text with a file of an archive, which it rewrites instead
// if -update was given.
func Compare(ar *txtar.Archive, name, got string) error {
	want := file(ar, name)
	if got == want {
		return nil
	}
	if !*update {
		return differs(name, got, want)
	}
	for i := range ar.Files {
		if ar.Files[i].Name == name {
			ar.Files[i].Data = []byte(got)
			return nil
		}
	}
	ar.Files = append(ar.Files, txtar.File{Name: name, Data: []byte(got)})
	return nil
}

func differs(name, got, want string) error {
	return fmt.Errorf("%s differs:\ngot:\n%swant:\n%s", name, got, want)
}
