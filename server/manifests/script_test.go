package manifests

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"

	"skiff/server/admission"
	"skiff/server/admission/lifecycle"
	"skiff/server/api"
	"skiff/server/client"
	"skiff/server/controller"
	"skiff/server/controller/controllertest"
	"skiff/server/controller/events"
	"skiff/server/registry"
	"skiff/server/registry/builtin"
	"skiff/server/registry/core"
	"skiff/store"
	"skiff/store/storetest"
)

// TestScripts runs each testdata/*.txtar against the real API server, in virtual
// time. A script is the archive's comment, one command a line:
//
//	put NAME [FROM]          write a file of the archive into the folder
//	remove NAME, rename NAME NAME, link TARGET NAME, mkdir NAME, grow NAME
//	open NAME, close         keep a file open for writing
//	folder gone|back         take the whole folder away
//	start [SERVER], stop     run the loop; what was put before, it finds
//	create|patch|annotate|delete RESOURCE [NS/]NAME [JSON]    as another client
//	serve KIND               from now on, a custom kind of example.com/v1 is served
//	sleep DURATION           let time pass; 3s are enough for all but retries
//	quiet DURATION           as sleep; fails if anything is written or logged
//	expect FILE RESOURCE PATH...    compare a table of the resource's objects
//	log FILE                 compare what was logged since the last time
//
// With -update the files named by expect and log are rewritten.
func TestScripts(t *testing.T) {
	controllertest.Each(t, "testdata", func(t *testing.T, ar *txtar.Archive) {
		synctest.Test(t, func(t *testing.T) { runScript(t, ar) })
	})
}

// script is a folder, a cluster, and the loop between them.
type script struct {
	t       *testing.T
	ar      *txtar.Archive
	dir     string
	store   store.Store
	api     *api.Server
	client  kubernetes.Interface
	dynamic dynamic.Interface
	open    *os.File

	logged  syncBuffer
	changed chan struct{}
	stop    func()
}

// syncBuffer is a buffer that a logger and a test use at once.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.b.String()
	b.b.Reset()
	return s
}

func newScript(t *testing.T, ar *txtar.Archive) *script {
	s := &script{t: t, ar: ar, dir: filepath.Join(t.TempDir(), "manifests"), store: storetest.NewMemory(t)}
	cfg := client.InProcess(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.api.ServeHTTP(w, r) }),
		&user.DefaultInfo{Name: "test", Groups: []string{"system:masters"}})
	s.client, s.dynamic = kubernetes.NewForConfigOrDie(cfg), dynamic.NewForConfigOrDie(cfg)
	namespaces := client.Informers(s.client).Core().V1().Namespaces().Lister() // never started, so that the server is asked
	var err error
	s.api, err = api.New(api.Config{
		Store:     s.store,
		Resources: builtin.Resources(builtin.Deps{Core: core.Deps{}}),
		Admission: admission.Chain{lifecycle.New(namespaces, func(ctx context.Context, name string) (*corev1.Namespace, error) {
			return s.client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
		}, clock.RealClock{})},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, ns := range []string{"default", "kube-system"} {
		if _, err := s.client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func runScript(t *testing.T, ar *txtar.Archive) {
	s := newScript(t, ar)
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if s.stop != nil {
			s.stop()
		}
	}()
	for n, line := range strings.Split(string(ar.Comment), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		cmd, rest, _ := strings.Cut(line, " ")
		if err := s.command(cmd, rest, strings.Fields(rest)); err != nil {
			t.Fatalf("line %d: %s: %v\nlog:\n%s", n+1, line, err, s.logged.take())
		}
		s.wake()
	}
}

// wake is what inotify does.
func (s *script) wake() {
	if s.stop != nil {
		select {
		case s.changed <- struct{}{}:
		default:
		}
	}
}

func (s *script) start(server string) {
	ctx, cancel := context.WithCancel(s.t.Context())
	log := slog.New(slog.NewTextHandler(&s.logged, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		switch a.Key {
		case slog.TimeKey:
			return slog.Attr{}
		case slog.LevelKey, slog.MessageKey:
			return a
		}
		return slog.String(a.Key, strings.ReplaceAll(a.Value.String(), s.dir, "DIR"))
	}}))
	sink := events.NewSink(s.client, clock.RealClock{}, log)
	c := New(Config{
		Dir: s.dir, Server: server, Client: s.client, Dynamic: s.dynamic, Events: sink.Recorder("manifests"),
		Clock: clock.RealClock{}, Logger: log,
	})
	s.changed = make(chan struct{}, 1)
	c.Reconciler.(*reconciler).watch = s.watch
	ended := make(chan error)
	go func() {
		ended <- controller.Run(ctx, controller.Config{Logger: log}, []controller.Controller{c})
	}()
	s.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Error(err)
		}
		sink.Close()
		s.stop = nil
	}
}

func (s *script) watch(ctx context.Context, dir string, changed func()) error {
	if _, err := os.Stat(dir); err != nil {
		return err
	}
	for changed(); ; {
		select {
		case <-s.changed:
			changed()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *script) command(cmd, rest string, args []string) error {
	path := func(i int) string { return filepath.Join(s.dir, args[i]) }
	switch cmd {
	case "put":
		data, err := s.file(args[len(args)-1])
		if err != nil {
			return err
		}
		return os.WriteFile(path(0), data, 0o600)
	case "remove":
		return os.Remove(path(0))
	case "rename":
		return os.Rename(path(0), path(1))
	case "link":
		return os.Symlink(args[0], path(1))
	case "mkdir":
		return os.Mkdir(path(0), 0o700)
	case "grow":
		return os.Truncate(path(0), maxFile+1)
	case "open":
		var err error
		s.open, err = os.OpenFile(path(0), os.O_WRONLY, 0)
		return err
	case "close":
		return s.open.Close()
	case "folder":
		from, to := s.dir, s.dir+".gone"
		if args[0] == "back" {
			from, to = to, from
		}
		return os.Rename(from, to)
	case "start":
		s.start(append(args, "box")[0])
	case "stop":
		s.stop()
	case "create", "patch", "annotate", "delete":
		return s.another(cmd, args[0], args[1], strings.Join(args[2:], " "))
	case "serve":
		return s.api.Install(customKind(args[0]))
	case "sleep", "quiet":
		return s.sleep(cmd, args[0])
	case "expect":
		got, err := s.table(args[1], args[2:])
		if err != nil {
			return err
		}
		return controllertest.Compare(s.ar, args[0], got)
	case "log":
		return controllertest.Compare(s.ar, args[0], s.logged.take())
	default:
		return fmt.Errorf("unknown command")
	}
	return nil
}

func (s *script) sleep(cmd, duration string) error {
	d, err := time.ParseDuration(duration)
	if err != nil {
		return err
	}
	synctest.Wait()
	before := s.store.Revision()
	time.Sleep(d)
	synctest.Wait()
	if cmd == "sleep" {
		return nil
	}
	if n := s.store.Revision() - before; n > 0 {
		return fmt.Errorf("%d writes", n)
	}
	if text := s.logged.take(); text != "" {
		return fmt.Errorf("logged:\n%s", text)
	}
	return nil
}

// another does what another client would do.
func (s *script) another(verb, plural, key, data string) error {
	r, err := s.resource(plural)
	if err != nil {
		return err
	}
	objects, name := dynamic.ResourceInterface(s.dynamic.Resource(r)), key
	if ns, n, ok := strings.Cut(key, "/"); ok {
		objects, name = s.dynamic.Resource(r).Namespace(ns), n
	}
	ctx := s.t.Context()
	switch verb {
	case "create":
		o := &unstructured.Unstructured{}
		if err := o.UnmarshalJSON([]byte(data)); err != nil {
			return err
		}
		o.SetName(name)
		_, err = objects.Create(ctx, o, metav1.CreateOptions{})
	case "patch":
		_, err = objects.Patch(ctx, name, types.MergePatchType, []byte(data), metav1.PatchOptions{})
	case "annotate":
		_, err = objects.Patch(ctx, name, types.MergePatchType, []byte(`{"metadata":{"annotations":`+data+`}}`), metav1.PatchOptions{})
	case "delete":
		err = objects.Delete(ctx, name, metav1.DeleteOptions{})
	}
	return err
}

func (s *script) resource(plural string) (schema.GroupVersionResource, error) {
	_, lists, err := s.client.Discovery().ServerGroupsAndResources()
	if err != nil {
		return schema.GroupVersionResource{}, err
	}
	slices.SortFunc(lists, func(a, b *metav1.APIResourceList) int { return strings.Compare(a.GroupVersion, b.GroupVersion) })
	slices.Reverse(lists) // "v1" before "events.k8s.io/v1"
	for _, l := range lists {
		for _, r := range l.APIResources {
			if r.Name == plural {
				gv, err := schema.ParseGroupVersion(l.GroupVersion)
				return gv.WithResource(plural), err
			}
		}
	}
	return schema.GroupVersionResource{}, fmt.Errorf("no resource %s", plural)
}

func (s *script) table(plural string, paths []string) (string, error) {
	r, err := s.resource(plural)
	if err != nil {
		return "", err
	}
	list, err := s.dynamic.Resource(r).List(s.t.Context(), metav1.ListOptions{})
	if err != nil {
		return "", err
	}
	var objects []*unstructured.Unstructured
	for i := range list.Items {
		objects = append(objects, &list.Items[i])
	}
	return controllertest.Table(objects, paths), nil
}

func (s *script) file(name string) ([]byte, error) {
	i := slices.IndexFunc(s.ar.Files, func(f txtar.File) bool { return f.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("no file %s", name)
	}
	return s.ar.Files[i].Data, nil
}

// customKind is a kind that client-go does not know, as a custom resource
// definition makes one; its objects are like config maps.
func customKind(kind string) *registry.Resource {
	return &registry.Resource{
		Group: "example.com", Plural: strings.ToLower(kind) + "s", Singular: strings.ToLower(kind), Kind: kind, Namespaced: true,
		Versions: []registry.Version{{Name: "v1", New: registry.New[corev1.ConfigMap](), NewList: registry.New[corev1.ConfigMapList]()}},
		Rules:    registry.Rules{AllowUnconditionalUpdate: true},
	}
}
