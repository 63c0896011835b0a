package containerd_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"skiff/runtime/containerd"
	"skiff/runtime/containerd/images"
	"skiff/runtime/cri/critest"
)

func init() {
	steps["import"] = stepImport
	steps["cri"] = stepCRI
}

func TestImport(t *testing.T) { newBox(t).step(t, "import") }

// TestCRI has the daemon pass the suite of all runtimes.
func TestCRI(t *testing.T) { newBox(t).step(t, "cri") }

func stepCRI(t *testing.T, b *box) {
	d := b.daemon(t)
	if _, err := d.ImportImages(testContext(t), bytes.NewReader(dockerArchive(t, "busybox:test"))); err != nil {
		t.Fatal(err)
	}
	critest.Run(t, d.Runtime(), d.Images(), critest.Options{Image: busyboxImage, CgroupParent: b.in.CgroupParent() + "/critest"})
}

// followImages listens to the daemon's images; the result waits until it is told
// of some.
func followImages(t *testing.T, d *containerd.Daemon) (told func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(testContext(t))
	changed, done := make(chan struct{}, 1), make(chan error, 1)
	go func() {
		done <- d.FollowImages(ctx, func() {
			select {
			case changed <- struct{}{}:
			default:
			}
		})
	}()
	return func() {
		select {
		case <-changed:
		case <-ctx.Done():
			t.Error("nobody was told of the images")
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("follow images: %v", err)
		}
	}
}

// stepImport puts archives of each kind into the images directory.
func stepImport(t *testing.T, b *box) {
	d := b.daemon(t)
	told := followImages(t, d)
	defer told()
	dir := filepath.Join(b.dataDir, "images")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	whole := dockerArchive(t, "cut:1")
	for name, data := range map[string][]byte{
		"docker.tar":        dockerArchive(t, "one:1", "registry.example/team/two:2"),
		"compressed.tar.gz": gzipped(t, dockerArchive(t, "gz:1")),
		"small.tar.zst":     zstded(t, dockerArchive(t, "zst:1")),
		"oci-named.tar":     ociArchive(t, "registry.example/oci:3"),
		"Oci_Tag.tar":       ociArchive(t, "v4"),
		"broken.tar":        whole[:len(whole)/2],
		"broken.tar.gz":     gzipped(t, whole)[:1000],
		"nonsense.tar":      []byte("this is not an archive"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	w := &images.Watcher{Dir: dir, Record: containerd.LayoutFor(b.dataDir).ImageRecord(), Importer: d, Logger: slog.New(slog.DiscardHandler)}
	err := w.Sync(testContext(t))
	for _, name := range []string{"broken.tar", "broken.tar.gz", "nonsense.tar"} {
		if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, name)) {
			t.Errorf("error %v does not name %s", err, name)
		}
	}
	list, err := d.ImageList(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, i := range list {
		if !i.Pinned {
			t.Errorf("image %v may be collected", i.Names)
		}
		got = append(got, i.Names...)
	}
	got = slices.DeleteFunc(got, func(n string) bool { return strings.HasPrefix(n, "localhost/skiff/pause:") })
	slices.Sort(got)
	want := []string{
		"docker.io/library/gz:1", "docker.io/library/one:1", "docker.io/library/zst:1",
		"localhost/oci-tag:v4", "registry.example/oci:3", "registry.example/team/two:2",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("images %v, want %v", got, want)
	}
	status, err := d.Images().ImageStatus(testContext(t), &runtimeapi.ImageStatusRequest{Image: &runtimeapi.ImageSpec{Image: "one:1"}})
	if err != nil || status.Image == nil {
		t.Errorf("short name one:1: %v, %v", status, err)
	}
	// Nothing is read again.
	if err := w.Sync(context.Background()); err != nil {
		t.Errorf("second look: %v", err)
	}
}

func gzipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstded(t *testing.T, data []byte) []byte {
	t.Helper()
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return enc.EncodeAll(data, nil)
}
