package containerd_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"runtime"
	"testing"
)

const (
	busyboxPath  = "/bin/busybox"
	busyboxImage = "docker.io/library/busybox:test"
)

var applets = []string{"sh", "sleep", "cat", "echo", "httpd", "wget", "ls", "id", "kill", "touch", "ip", "true", "false", "nc", "test", "mkdir", "env", "tr", "head", "seq", "ps", "hostname", "rm", "stty", "tee"}

// dockerArchive builds what `docker save` would write: busybox in one layer.
func dockerArchive(t testing.TB, repoTags ...string) []byte {
	t.Helper()
	layer, config := busyboxLayer(t)
	name := hexSum(config) + ".json"
	manifest := mustJSON(t, []map[string]any{{"Config": name, "RepoTags": repoTags, "Layers": []string{"layer.tar"}}})
	return tarOf(t, file{name, 0o644, config}, file{"layer.tar", 0o644, layer}, file{"manifest.json", 0o644, manifest})
}

// ociArchive builds an OCI layout; ref goes into the usual annotation.
func ociArchive(t testing.TB, ref string) []byte {
	t.Helper()
	layer, config := busyboxLayer(t)
	manifest := mustJSON(t, map[string]any{
		"schemaVersion": 2,
		"mediaType":     "application/vnd.oci.image.manifest.v1+json",
		"config":        desc("application/vnd.oci.image.config.v1+json", config),
		"layers":        []any{desc("application/vnd.oci.image.layer.v1.tar", layer)},
	})
	top := desc("application/vnd.oci.image.manifest.v1+json", manifest)
	if ref != "" {
		top["annotations"] = map[string]string{"org.opencontainers.image.ref.name": ref}
	}
	blobs := func(data []byte) file { return file{"blobs/sha256/" + hexSum(data), 0o644, data} }
	return tarOf(t,
		file{"oci-layout", 0o644, []byte(`{"imageLayoutVersion":"1.0.0"}`)},
		file{"index.json", 0o644, mustJSON(t, map[string]any{"schemaVersion": 2, "manifests": []any{top}})},
		blobs(manifest), blobs(config), blobs(layer))
}

func busyboxLayer(t testing.TB) (layer, config []byte) {
	t.Helper()
	program, err := os.ReadFile(busyboxPath)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	header := func(h *tar.Header, data []byte) {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"bin/", "tmp/", "etc/", "var/"} {
		header(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755}, nil)
	}
	header(&tar.Header{Typeflag: tar.TypeReg, Name: "bin/busybox", Mode: 0o755, Size: int64(len(program))}, program)
	// Debian's busybox has no printenv.
	printenv := []byte("#!/bin/sh\nfor v; do eval \"echo \\\"\\$$v\\\"\"; done\n")
	header(&tar.Header{Typeflag: tar.TypeReg, Name: "bin/printenv", Mode: 0o755, Size: int64(len(printenv))}, printenv)
	for _, a := range applets {
		header(&tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + a, Linkname: "busybox", Mode: 0o777}, nil)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	config = mustJSON(t, map[string]any{
		"os": "linux", "architecture": runtime.GOARCH,
		"config": map[string]any{"Env": []string{"PATH=/bin"}, "Cmd": []string{"sh"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + hexSum(out.Bytes())}},
	})
	return out.Bytes(), config
}

type file struct {
	name string
	mode int64
	data []byte
}

func tarOf(t testing.TB, files ...file) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: f.mode, Size: int64(len(f.data))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func desc(mediaType string, data []byte) map[string]any {
	return map[string]any{"mediaType": mediaType, "digest": "sha256:" + hexSum(data), "size": len(data)}
}

func hexSum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func mustJSON(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
