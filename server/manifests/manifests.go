// Package manifests applies the files of a folder to the cluster, as kubectl apply
// does, when the server starts and when they change, and removes what a file made
// when the file goes.
//
//	list = append(list, manifests.New(manifests.Config{Dir: dataDir + "/manifests", ...}))
//
// It is one control loop with one key: each pass compares the whole folder with
// the whole cluster, so that it does not matter which change was seen, and what
// happened while the server was down.
//
//	folder ─► files ─► documents ─► items ──┐
//	                                        ├─► plan ─► remember, apply, remove, forget
//	records (config maps in kube-system) ───┘
//
// The rules, which docs/manifests.md tells users:
//   - an object in two files is the first one's, by name;
//   - a file that cannot be read, or is being written, changes nothing;
//   - a file is gone when it was missing for goneAfter, an object when no file has
//     it and it still bears the file's name;
//   - what fails is tried again, ever more seldom, and told once.
package manifests

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"

	"skiff/dirwatch"
	"skiff/server/controller"
)

// Config says which folder is applied, and how.
type Config struct {
	// Dir is made if it is not there.
	Dir string
	// Server is the name of this server's node: other servers have folders of
	// their own.
	Server  string
	Client  kubernetes.Interface
	Dynamic dynamic.Interface
	Events  record.EventRecorder
	Clock   clock.PassiveClock
	Logger  *slog.Logger
}

const (
	// key is the loop's only one.
	key = "manifests"
	// settle is how long after a change the folder is read: what changes files
	// seldom changes one.
	settle = 500 * time.Millisecond
	// goneAfter is how long a file must be missing to count as removed: programs
	// that replace a file by removing it first are done by then.
	goneAfter = 2 * time.Second
	// firstRetry and lastRetry bound the time between tries of what failed.
	firstRetry = 250 * time.Millisecond
	lastRetry  = time.Minute
)

// New returns the control loop.
func New(cfg Config) controller.Controller {
	r := &reconciler{
		Config: cfg, watch: watch, missing: map[string]time.Time{},
		reporter: reporter{log: cfg.Logger, events: cfg.Events},
	}
	return controller.Controller{Name: key, Reconciler: r, Keys: []string{key}, Start: r.follow}
}

type reconciler struct {
	Config
	// watch calls changed for each change until ctx ends or it cannot go on; tests
	// put another in its place.
	watch func(ctx context.Context, dir string, changed func()) error
	// fresh is that the folder changed since the last pass.
	fresh atomic.Bool
	// tries counts passes that left something to be tried again.
	tries int
	// missing are the recorded files that are not there, since when.
	missing  map[string]time.Time
	reporter reporter
}

func (r *reconciler) records() records {
	return records{client: r.Client.CoreV1().ConfigMaps(metav1.NamespaceSystem), server: r.Server}
}

// Reconcile implements controller.Reconciler. It answers for its own retries and
// their log: the same mistake in a file is told once, not at each try.
func (r *reconciler) Reconcile(ctx context.Context, _ string) (controller.Result, error) {
	if r.fresh.Swap(false) {
		r.tries = 0
	}
	p := &pass{reconciler: r, counts: map[string]*count{}}
	if err := p.run(ctx); err != nil {
		p.problem(problem{text: err.Error(), again: true})
	}
	if ctx.Err() != nil {
		return controller.Result{}, nil
	}
	p.log()
	r.reporter.report(p.problems, p.about)
	result := controller.Result{RequeueAfter: p.wait}
	if !slices.ContainsFunc(p.problems, func(p problem) bool { return p.again }) {
		r.tries = 0
		return result, nil
	}
	retry := lastRetry
	if r.tries < 16 {
		retry = min(firstRetry<<r.tries, lastRetry)
	}
	r.tries++
	if p.wait == 0 || retry < p.wait {
		result.RequeueAfter = retry
	}
	return result, nil
}

// follow wakes the loop when the folder changes. A folder that cannot be watched
// is looked at from time to time.
func (r *reconciler) follow(ctx context.Context, enqueue controller.Enqueue) error {
	told := false
	changed := func() {
		if told {
			r.Logger.Info("the folder of manifests is watched again", "folder", r.Dir)
		}
		told = false
		r.fresh.Store(true)
		enqueue(key, settle)
	}
	for {
		err := r.makeFolder(ctx)
		if err == nil {
			err = r.watch(ctx, r.Dir, changed)
		}
		if ctx.Err() != nil {
			return nil
		}
		enqueue(key, settle)
		if errors.Is(err, dirwatch.ErrGone) {
			continue // it is made again, or missed
		}
		if !told && !errors.Is(err, errGone) { // which the loop reports
			r.Logger.Warn("the folder of manifests cannot be watched and is looked at each minute", "folder", r.Dir, "err", err)
		}
		told = true
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(lastRetry):
		}
	}
}

// makeFolder makes the folder, unless something was applied from it: then its
// absence is not for Skiff to mend, see checkMissing.
func (r *reconciler) makeFolder(ctx context.Context) error {
	_, err := os.Stat(r.Dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	all, err := r.records().load(ctx)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(all, func(rec *fileRecord) bool { return rec.server == r.Server }) {
		return errGone
	}
	return os.MkdirAll(r.Dir, 0o700) // manifests may hold secrets
}

// watch is the reconciler's watch with inotify.
func watch(ctx context.Context, dir string, changed func()) error {
	w, err := dirwatch.New(dir, dirwatch.Written|dirwatch.Removed|dirwatch.Created)
	if err != nil {
		return err
	}
	defer w.Close()
	stop := context.AfterFunc(ctx, func() { w.Close() })
	defer stop()
	for changed(); ; { // nobody watched until now
		names, err := w.Next()
		if err != nil {
			return err
		}
		if slices.ContainsFunc(names, matters) {
			changed()
		}
	}
}

// matters tells whether a changed name may change what is to be applied. "..data"
// is the link by which Kubernetes' own volumes swap all their files.
func matters(name string) bool {
	return name == "" || filepath.Base(name) == "..data" || isManifest(name)
}
