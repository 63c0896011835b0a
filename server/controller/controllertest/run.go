package controllertest

import (
	"context"
	"flag"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/rogpeppe/go-internal/txtar"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"

	"skiff/server/controller"
	"skiff/server/controller/events"
)

var update = flag.Bool("update", false, "rewrite what scripts expect")

// Env is what the controllers under test get.
type Env struct {
	API       *API
	Client    kubernetes.Interface
	Metadata  metadata.Interface
	Informers informers.SharedInformerFactory
	Events    record.EventRecorder
	Clock     clock.WithDelayedExecution
}

// Build makes the controllers under test.
type Build func(e Env) ([]controller.Controller, error)

// Script runs each testdata/*.txtar of the test's package against the
// controllers.
//
// A script is the archive's comment, one command a line; objects come from its
// files:
//
//	apply FILE...            create or update the objects in the files
//	delete RESOURCE NS/NAME [orphan|foreground]
//	patch RESOURCE[/status] NS/NAME JSON    merge patch
//	kubelet on|off           run pods: schedule, make them ready, end deletions
//	finish NS/NAME CODE      end a pod's containers with this exit code
//	sleep DURATION           let virtual time pass
//	quiet DURATION           as sleep; fails if anything is written
//	restart                  stop the controllers and start them again
//	expect FILE RESOURCE PATH...    compare a table of the resource's objects
//
//	peek FILE RESOURCE PATH...      the same for a state that passes; not under faults
//
// With -update the files named by expect and peek are rewritten.
func Script(t *testing.T, build Build) { ScriptDir(t, "testdata", build) }

// ScriptDir is Script for a folder of its own, for controllers that are
// configured otherwise.
func ScriptDir(t *testing.T, dir string, build Build) {
	Each(t, dir, func(t *testing.T, ar *txtar.Archive) {
		synctest.Test(t, func(t *testing.T) { runScript(t, build, ar, nil) })
	})
}

// Each runs f for each *.txtar of a folder, and with -update writes back what
// Compare made of it.
func Each(t *testing.T, dir string, f func(t *testing.T, ar *txtar.Archive)) {
	files, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts in %s: %v", dir, err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				defer func() {
					if err := os.WriteFile(path, txtar.Format(ar), 0o644); err != nil {
						t.Error(err)
					}
				}()
			}
			f(t, ar)
		})
	}
}

// Faults runs the scripts with every nth API call of the controllers failing,
// half of them after having been carried out. What the scripts expect must come
// all the same, given a minute of virtual time at each of their waits.
func Faults(t *testing.T, build Build, every ...int) {
	files, _ := filepath.Glob("testdata/*.txtar")
	for _, f := range files {
		for _, n := range every {
			t.Run(strings.TrimSuffix(filepath.Base(f), ".txtar"), func(t *testing.T) {
				ar, err := txtar.ParseFile(f)
				if err != nil {
					t.Fatal(err)
				}
				if strings.Contains(string(ar.Comment), "# no faults") {
					t.Skip("script says so")
				}
				synctest.Test(t, func(t *testing.T) { runScript(t, build, ar, &faults{every: n}) })
			})
		}
	}
}

// session is the controllers while they run.
type session struct {
	t      *testing.T
	api    *API
	build  Build
	fault  *faults
	user   kubernetes.Interface // never fails
	cancel context.CancelFunc
	done   sync.WaitGroup
	env    Env
	agent  *kubelet
}

func newSession(t *testing.T, build Build, f *faults) *session {
	api := NewAPI()
	user, err := kubernetes.NewForConfig(api.Config())
	if err != nil {
		t.Fatal(err)
	}
	s := &session{t: t, api: api, build: build, fault: f, user: user}
	s.start()
	return s
}

func (s *session) start() {
	ctx, cancel := context.WithCancel(s.t.Context())
	s.cancel = cancel
	cfg := s.api.Config()
	if s.fault != nil {
		cfg.Transport = &faulty{api: s.api, faults: s.fault}
	}
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	meta, err := metadata.NewForConfig(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(testWriter{s}, nil))
	sink := events.NewSink(s.user, clock.RealClock{}, log)
	f := informers.NewSharedInformerFactory(client, 0)
	s.env = Env{API: s.api, Client: client, Metadata: meta, Informers: f, Events: sink.Recorder("test"), Clock: clock.RealClock{}}
	list, err := s.build(s.env)
	if err != nil {
		s.t.Fatal(err)
	}
	s.done.Go(func() {
		err := controller.Run(ctx, controller.Config{Clock: clock.RealClock{}, Logger: log, StartInformers: f.StartWithContext}, list)
		if err != nil {
			s.t.Error(err)
		}
		f.Shutdown()
		sink.Close()
	})
	synctest.Wait()
}

func (s *session) stop() {
	s.cancel()
	s.done.Wait()
}

// testWriter keeps the controllers' logs out of tests that expect failures.
type testWriter struct{ s *session }

func (w testWriter) Write(p []byte) (int, error) {
	if w.s.fault == nil && testing.Verbose() {
		w.s.t.Logf("%s", p)
	}
	return len(p), nil
}

var _ io.Writer = testWriter{}

// NewEnv returns what controllers get, with an API of its own, for tests that run
// no controllers.
func NewEnv(t *testing.T) Env {
	api := NewAPI()
	client, err := kubernetes.NewForConfig(api.Config())
	if err != nil {
		t.Fatal(err)
	}
	meta, err := metadata.NewForConfig(api.Config())
	if err != nil {
		t.Fatal(err)
	}
	return Env{
		API: api, Client: client, Metadata: meta, Informers: informers.NewSharedInformerFactory(client, 0),
		Events: &record.FakeRecorder{}, Clock: clock.RealClock{},
	}
}

// Start runs the controllers against an API of their own until the returned
// function is called.
func Start(t *testing.T, build Build) (stop func()) {
	s := newSession(t, build, nil)
	return s.stop
}
