package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"skiff/agent/pod"
)

// staticPods runs the pods of a directory's manifests.
type staticPods struct {
	a     *Agent
	watch *fsnotify.Watcher
	// known are the pods by file.
	known map[string]*corev1.Pod
	// bad are the files that could not be read, by what was said about them.
	bad map[string]string
}

// newStaticPods begins to watch, and takes in what is there.
func newStaticPods(a *Agent) (*staticPods, error) {
	watch, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch static pods: %w", err)
	}
	if err := watch.Add(a.cfg.StaticPodDir); err != nil {
		watch.Close()
		return nil, fmt.Errorf("watch static pods: %w", err)
	}
	s := &staticPods{a: a, watch: watch, known: map[string]*corev1.Pod{}, bad: map[string]string{}}
	s.scan()
	return s, nil
}

func (s *staticPods) close() { s.watch.Close() }

// settleFiles is how long a directory must be quiet before it is read: editors
// write in steps.
const settleFiles = 100 * time.Millisecond

func (s *staticPods) run(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case _, ok := <-s.watch.Events:
			if !ok {
				return errors.New("watch static pods: closed")
			}
			timer.Reset(settleFiles)
		case err := <-s.watch.Errors:
			s.a.log.Warn("lost track of static pods, reading them all", "err", err)
			timer.Reset(settleFiles)
		case <-timer.C:
			s.scan()
		}
	}
}

// scan compares the directory with what is known.
func (s *staticPods) scan() {
	entries, err := os.ReadDir(s.a.cfg.StaticPodDir)
	if err != nil {
		s.a.log.Error("cannot read the static pods' directory", "err", err)
		return
	}
	seen := map[string]bool{}
	for _, e := range entries {
		name := e.Name()
		if e.IsDir() || strings.HasPrefix(name, ".") {
			continue
		}
		switch filepath.Ext(name) {
		case ".yaml", ".yml", ".json", "":
			seen[name] = true
			s.take(name)
		}
	}
	for name, p := range s.known {
		if !seen[name] {
			s.a.pods.Remove(p)
			delete(s.known, name)
		}
	}
}

func (s *staticPods) take(name string) {
	p, err := s.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		if s.bad[name] != err.Error() {
			s.a.log.Error("cannot use a static pod's manifest", "file", name, "err", err)
		}
		s.bad[name] = err.Error()
		return
	}
	delete(s.bad, name)
	old := s.known[name]
	if old != nil && old.UID == p.UID {
		return
	}
	if old != nil {
		s.a.pods.Remove(old)
	}
	s.known[name] = p
	s.a.pods.Update(p)
}

// read makes a pod of a manifest: bound to this node, named after it, and with a
// UID that changes with its content.
func (s *staticPods) read(name string) (*corev1.Pod, error) {
	path := filepath.Join(s.a.cfg.StaticPodDir, name)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	p := &corev1.Pod{}
	if err := yaml.UnmarshalStrict(data, p); err != nil {
		return nil, err
	}
	if p.Kind != "Pod" || p.APIVersion != "v1" {
		return nil, fmt.Errorf("it holds a %s %s, not a v1 Pod", p.APIVersion, p.Kind)
	}
	if p.Name == "" || len(p.Spec.Containers) == 0 {
		return nil, errors.New("it has no name or no containers")
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "host:%s\nfile:%s\n%s", s.a.cfg.NodeName, path, data)
	p.UID = types.UID(hex.EncodeToString(sum.Sum(nil)[:16]))
	p.Name += "-" + strings.ToLower(s.a.cfg.NodeName)
	if p.Namespace == "" {
		p.Namespace = metav1.NamespaceDefault
	}
	p.Spec.NodeName = s.a.cfg.NodeName
	if p.Annotations == nil {
		p.Annotations = map[string]string{}
	}
	p.Annotations[pod.AnnotationSource] = "file"
	p.Annotations[pod.AnnotationHash] = string(p.UID)
	p.Annotations[pod.AnnotationSeen] = time.Now().Format(time.RFC3339Nano)
	p.Spec.Tolerations = append(p.Spec.Tolerations, corev1.Toleration{Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute})
	p.Status = corev1.PodStatus{Phase: corev1.PodPending}
	if s.a.deps.DefaultPod != nil {
		s.a.deps.DefaultPod(p)
	}
	return p, nil
}
