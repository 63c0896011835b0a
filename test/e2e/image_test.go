package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"skiff/test/e2e/host"
	"skiff/test/image"
)

// boxImage holds busybox with all its applets, and probe.
const boxImage = "skiff.test/box:v1"

// importBox imports boxImage, and the same under further tags, into a host's
// server.
func importBox(t testing.TB, h *host.Host, tags ...string) {
	t.Helper()
	for _, name := range append([]string{boxImage}, tags...) {
		h.Import(writeArchive(t, h.Dir, name))
	}
}

// writeArchive writes the archive of boxImage, under the given name, into a
// folder.
func writeArchive(t testing.TB, dir, name string) string {
	t.Helper()
	files, err := boxFiles()
	if err != nil {
		t.Fatal(err)
	}
	archive, err := image.Image{Name: name, Arch: runtime.GOARCH, Cmd: []string{"sh"}, Files: files}.Archive()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, strings.NewReplacer("/", "-", ":", "-").Replace(name)+".tar")
	if err := os.WriteFile(path, archive, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// boxFiles are those of boxImage's layer, made once.
var boxFiles = sync.OnceValues(func() ([]image.File, error) {
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		return nil, fmt.Errorf("tests need Debian's busybox-static, run scripts/deps: %w", err)
	}
	applets, err := exec.Command("/bin/busybox", "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("list busybox's applets: %w", err)
	}
	probe, err := build("skiff/test/e2e/probe")
	if err != nil {
		return nil, err
	}
	files := []image.File{
		{Name: "bin/"}, {Name: "etc/"}, {Name: "var/"}, {Name: "tmp/", Mode: 0o1777},
		{Name: "etc/passwd", Data: []byte("root:x:0:0:root:/:/bin/sh\n")},
		{Name: "bin/busybox", Mode: 0o755, Data: busybox},
		{Name: "bin/probe", Mode: 0o755, Data: probe},
	}
	for _, a := range strings.Fields(string(applets)) {
		if a != "busybox" {
			files = append(files, image.File{Name: "bin/" + a, Link: "busybox"})
		}
	}
	return files, nil
})

// build compiles a program of this module and returns it.
func build(pkg string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "e2e-build-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "program")
	cmd := exec.Command("go", "build", "-ldflags", "-s -w", "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if message, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build %s: %w\n%s", pkg, err, message)
	}
	return os.ReadFile(out)
}
