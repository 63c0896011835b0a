package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skiff/test/e2e/host"
)

// TestFullDisk fills the disk below a server, and below one that is to start.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	h := host.New(t, host.Config{DiskSize: 400 << 20})
	h.Start()
	importBox(t, h)
	h.Kubectl("run", "web-0", "--image="+boxImage, "--", "probe", "serve")
	h.Kubectl("wait", "--for=condition=Ready", "pod/web-0", "--timeout=60s")
	h.Kubectl("create", "configmap", "early")
	before := containers(h, "run=web-0")

	free := fill(t, filepath.Join(h.DataDir, "ballast"))
	// What is kept back for the log lasts for some writes, and not for many.
	big := "--from-literal=value=" + strings.Repeat("x", 100<<10)
	var r host.Result
	for n := range 200 {
		if r = h.Run("kubectl", "create", "configmap", "late-"+string(rune('a'+n%26))+string(rune('a'+n/26)), big); r.Code != 0 {
			break
		}
	}
	if r.Code != 1 || !strings.Contains(r.Stderr, "no space left") && !strings.Contains(r.Stderr, "disk is full") {
		t.Errorf("a write on a full disk: code %d, %s", r.Code, r.Stderr)
	}
	h.Kubectl("get", "configmap", "early")
	archive := writeArchive(t, h.Dir, "skiff.test/large:v1")
	refused(t, h.Run("skiff", "images", "import", archive), 1, `^skiff: images import: `+archive+`: .*no space left on device`)
	free()
	h.Kubectl("create", "configmap", "later")
	h.Import(archive)
	h.Stop()

	free = fill(t, filepath.Join(h.DataDir, "ballast"))
	if r := h.Run("skiff", "server", "--data-dir", filepath.Join(h.DataDir, "new"), "--write-kubeconfig", ""); r.Code == 1 {
		refused(t, r, 1, `no space left on device: nothing is lost, make room on the disk`)
	} else {
		t.Errorf("a new server on a full disk: exit code %d", r.Code)
	}
	free()
	h.Start()
	h.Kubectl("get", "configmap", "early", "later")
	if after := containers(h, "run=web-0"); after != before {
		t.Errorf("containers before:\n%safter:\n%s", before, after)
	}
}

// fill writes a file until the disk is full.
func fill(t *testing.T, path string) (free func()) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 1<<20); len(block) > 0; {
		if _, err := f.Write(block); err != nil {
			block = block[:len(block)/2]
		}
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}
