package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// TestPack reads an image back as an importer does.
func TestPack(t *testing.T) {
	dir := t.TempDir()
	program, out := filepath.Join(dir, "web"), filepath.Join(dir, "web.tar")
	if err := os.WriteFile(program, []byte("program"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := pack(out, "skiff.example/web:v1", "VERSION=v1", "riscv64", program); err != nil {
		t.Fatal(err)
	}
	image, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	files := unpack(t, image)

	var manifest []struct {
		Config           string
		RepoTags, Layers []string
	}
	decode(t, files["manifest.json"], &manifest)
	if len(manifest) != 1 || len(manifest[0].Layers) != 1 || len(manifest[0].RepoTags) != 1 || manifest[0].RepoTags[0] != "skiff.example/web:v1" {
		t.Fatalf("manifest %+v", manifest)
	}
	var config struct {
		Architecture string
		Config       struct{ Env, Entrypoint []string }
		RootFS       struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	decode(t, files[manifest[0].Config], &config)
	layer := files[manifest[0].Layers[0]]
	if got, want := config.RootFS.DiffIDs[0], "sha256:"+digest(layer); got != want {
		t.Errorf("diff id %s, want %s", got, want)
	}
	if config.Architecture != "riscv64" || config.Config.Entrypoint[0] != "/bin/web" || config.Config.Env[1] != "VERSION=v1" {
		t.Errorf("config %+v", config)
	}
	if got := string(unpack(t, layer)["bin/web"]); got != "program" {
		t.Errorf("bin/web holds %q", got)
	}
}

func TestPackMissingProgram(t *testing.T) {
	out := filepath.Join(t.TempDir(), "x.tar")
	if err := pack(out, "a:b", "", "amd64", out+".missing"); !os.IsNotExist(err) {
		t.Errorf("got %v, want that the program does not exist", err)
	}
	if _, err := os.Stat(out); !os.IsNotExist(err) {
		t.Errorf("an archive was left: %v", err)
	}
}

func unpack(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

func decode(t *testing.T, data []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatalf("%q: %v", data, err)
	}
}
