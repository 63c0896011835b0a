package agent

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"

	"skiff/agent/cgroup"
	"skiff/agent/pod"
	fakert "skiff/runtime/cri/fake"
)

const staticManifest = `{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {restartPolicy: Always, terminationGracePeriodSeconds: 1, dnsPolicy: ClusterFirst, containers: [{name: main, image: busybox, command: [IMAGE]}]}}`

// TestStaticPods follows a manifest in the directory: made, shown in the API,
// changed, removed.
func TestStaticPods(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	client := fake.NewClientset()
	rt := fakert.New(fakert.Options{Images: []string{"busybox"}})
	defer rt.Close()
	dir := t.TempDir()
	var log strings.Builder
	a, err := New(Config{
		NodeName: "N1", NodeIPs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, DataDir: dir, Port: -1, Cgroup: cgroup.Config{Root: t.TempDir()},
	}, Deps{Client: client, Runtime: rt, Images: rt, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "static-pods", name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("broken.yaml", "kind: Nonsense")
	write("web.yaml", strings.Replace(staticManifest, "IMAGE", "pause", 1))
	done := make(chan error, 1)
	runCtx, stop := context.WithCancel(ctx)
	go func() { done <- a.Run(runCtx) }()
	pods := client.CoreV1().Pods("default")
	running := func(hash string) *corev1.Pod {
		t.Helper()
		return waitFor(t, ctx, "mirror pod Running", func() (watch.Interface, error) { return pods.Watch(ctx, metav1.ListOptions{}) },
			func() (*corev1.Pod, error) { return pods.Get(ctx, "web-n1", metav1.GetOptions{}) },
			func(p *corev1.Pod) bool {
				return p.Status.Phase == corev1.PodRunning && p.Annotations[pod.AnnotationMirror] != hash
			})
	}
	first := running("none")
	if first.Annotations[pod.AnnotationSource] != "file" || first.Annotations[pod.AnnotationMirror] != first.Annotations[pod.AnnotationHash] || first.Spec.NodeName != "N1" {
		t.Errorf("mirror pod is not marked as one: %v", first.Annotations)
	}
	write("web.yaml", strings.Replace(staticManifest, "IMAGE", "sleep, \"3600\"", 1))
	second := running(first.Annotations[pod.AnnotationMirror])
	if second.Spec.Containers[0].Command[0] != "sleep" {
		t.Errorf("mirror pod does not follow the file: %v", second.Spec.Containers)
	}
	w, err := pods.Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "static-pods", "web.yaml")); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := pods.Get(ctx, "web-n1", metav1.GetOptions{}); apierrors.IsNotFound(err) {
			break
		}
		select {
		case <-w.ResultChan():
		case <-ctx.Done():
			t.Fatal("the mirror pod outlives its file")
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := strings.Count(log.String(), "broken.yaml"); n != 1 {
		t.Errorf("the broken manifest was reported %d times:\n%s", n, log.String())
	}
}
