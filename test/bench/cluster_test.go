package bench

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"

	"skiff/test/e2e/host"
	"skiff/test/image"
)

const (
	imageName = "skiff.test/bench:v1"
	namespace = metav1.NamespaceDefault
	// patience bounds the wait for anything.
	patience = time.Minute
)

// cluster is a running server with the image that the pods need.
type cluster struct {
	b      *testing.B
	host   *host.Host
	client kubernetes.Interface
}

func newCluster(b *testing.B) *cluster {
	b.Helper()
	c := &cluster{b: b, host: newHost(b)}
	c.host.Start()
	c.host.Import(c.writeImage())
	cfg := c.host.RESTConfig()
	cfg.QPS = -1 // what is measured must not wait for its client
	var err error
	if c.client, err = kubernetes.NewForConfig(cfg); err != nil {
		b.Fatal(err)
	}
	accounts := c.client.CoreV1().ServiceAccounts(namespace)
	c.await("the default service account", named("default"), accounts.Watch, func(watch.Event) bool { return true })
	return c
}

// writeImage writes an archive of an image that holds busybox.
func (c *cluster) writeImage() string {
	c.b.Helper()
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		c.b.Fatalf("the pods need Debian's busybox-static, run scripts/deps: %v", err)
	}
	archive, err := image.Image{
		Name: imageName, Arch: runtime.GOARCH, Cmd: obedient,
		Files: []image.File{{Name: "bin/"}, {Name: "bin/busybox", Mode: 0o755, Data: busybox}, {Name: "bin/sh", Link: "busybox"}},
	}.Archive()
	if err != nil {
		c.b.Fatal(err)
	}
	path := filepath.Join(c.b.TempDir(), "bench.tar")
	if err := os.WriteFile(path, archive, 0o600); err != nil {
		c.b.Fatal(err)
	}
	return path
}

// Commands of containers: an obedient one ends when it is told to, a stubborn one
// has to be killed.
var (
	obedient = []string{"sh", "-c", `trap "exit 0" TERM; sleep 1000000 & wait`}
	stubborn = []string{"busybox", "sleep", "1000000"}
)

// pod returns one with the command.
func pod(name string, command []string) *corev1.Pod {
	grace := int64(1)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": "bench"}},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: &grace,
			Containers:                    []corev1.Container{{Name: "main", Image: imageName, Command: command}},
		},
	}
}

// named selects the object of that name.
func named(name string) metav1.ListOptions {
	return metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()}
}

// await starts a watch, calls each act, and returns when an event is as wanted.
func (c *cluster) await(what string, of metav1.ListOptions, start func(context.Context, metav1.ListOptions) (watch.Interface, error), ok func(watch.Event) bool, acts ...func(context.Context) error) {
	c.b.Helper()
	ctx, cancel := context.WithTimeout(c.b.Context(), patience)
	defer cancel()
	w, err := start(ctx, of)
	if err != nil {
		c.b.Fatalf("watch for %s: %v", what, err)
	}
	defer w.Stop()
	for _, act := range acts {
		if err := act(ctx); err != nil {
			c.b.Fatalf("%s: %v", what, err)
		}
	}
	for e := range w.ResultChan() {
		if ok(e) {
			return
		}
	}
	c.b.Fatalf("%s: not within %s", what, patience)
}
