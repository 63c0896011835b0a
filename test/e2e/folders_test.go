package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skiff/test/e2e/host"
)

// TestManifestFolder lets a box come up with an application that nobody applies:
// its image and its manifest lie in the data folder. A broken file beside them
// is told of, and keeps nothing up.
func TestManifestFolder(t *testing.T) {
	t.Parallel()
	h := host.New(t, host.Config{})
	images, manifests := folder(t, h, "images"), folder(t, h, "manifests")
	writeArchive(t, images, boxImage)
	write(t, filepath.Join(manifests, "web.yaml"), fmt.Sprintf(webManifest, 1))
	broken := filepath.Join(manifests, "broken.yaml")
	write(t, broken, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x\n")
	h.Start()
	h.Kubectl("wait", "--for=create", "namespace/shop", "deployment/web", "--namespace=shop", "--timeout=60s")
	h.Kubectl("rollout", "status", "deployment/web", "--namespace=shop", "--timeout=60s")
	if log := h.Log(); !strings.Contains(log, "broken.yaml") {
		t.Errorf("the log does not name %s:\n%s", broken, log)
	}

	write(t, filepath.Join(manifests, "web.yaml"), fmt.Sprintf(webManifest, 2))
	h.Kubectl("wait", "--for=jsonpath={.status.readyReplicas}=2", "deployment/web", "--namespace=shop", "--timeout=60s")

	// What happens while no server runs is made up for.
	h.Stop()
	if err := os.Remove(filepath.Join(manifests, "web.yaml")); err != nil {
		t.Fatal(err)
	}
	write(t, broken, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: mended, namespace: default}\n")
	h.Start()
	h.Kubectl("wait", "--for=create", "configmap/mended", "--timeout=60s")
	h.Kubectl("wait", "--for=delete", "namespace/shop", "--timeout=60s")
}

const webManifest = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: %d
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
        - {name: box, image: "skiff.test/box:v1", command: [probe, serve]}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
`

// TestTruncatedImage has a broken archive among good ones, in the folder that is
// read at the start and on the command line.
func TestTruncatedImage(t *testing.T) {
	t.Parallel()
	h := host.New(t, host.Config{})
	images := folder(t, h, "images")
	truncate := func(path string) string {
		t.Helper()
		info, err := os.Stat(path)
		if err == nil {
			err = os.Truncate(path, info.Size()/2)
		}
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	broken := truncate(writeArchive(t, images, "skiff.test/broken:v1"))
	writeArchive(t, images, "skiff.test/good:v1")
	h.Start()
	h.Kubectl("run", "good", "--image=skiff.test/good:v1", "--image-pull-policy=Never", "--", "probe", "serve")
	h.Kubectl("wait", "--for=condition=Ready", "pod/good", "--timeout=60s")
	if log := h.Log(); !strings.Contains(log, broken) {
		t.Errorf("the log does not name %s:\n%s", broken, log)
	}

	broken2 := truncate(writeArchive(t, h.Dir, "skiff.test/broken:v2"))
	good2 := writeArchive(t, h.Dir, "skiff.test/good:v2")
	r := h.Run("skiff", "images", "import", broken2, good2)
	refused(t, r, 1, `^skiff: images import: `+broken2+`: `)
	if r.Stdout != "skiff.test/good:v2\n" {
		t.Errorf("imported %q", r.Stdout)
	}
	list := h.Skiff("images", "list")
	for name, want := range map[string]bool{"good:v1": true, "good:v2": true, "broken:v1": false, "broken:v2": false} {
		if strings.Contains(list, name) != want {
			t.Errorf("%s is listed: %v, want %v\n%s", name, !want, want, list)
		}
	}
}

// folder makes a folder of the host's data folder, which may not exist yet.
func folder(t *testing.T, h *host.Host, name string) string {
	t.Helper()
	path := filepath.Join(h.DataDir, name)
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
