package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"testing"
)

// TestArchive reads an image back as an importer does.
func TestArchive(t *testing.T) {
	img := Image{
		Name: "skiff.example/web:v1", Arch: "riscv64", Entrypoint: []string{"/bin/web"}, Cmd: []string{"serve"},
		Env: []string{"VERSION=v1"}, User: "65532:65532",
		Files: []File{
			{Name: "bin/"}, {Name: "bin/web", Mode: 0o755, Data: []byte("program")},
			{Name: "bin/alias", Link: "web"}, {Name: "etc/motd", Data: []byte("hello")},
		},
	}
	archive, err := img.Archive()
	if err != nil {
		t.Fatal(err)
	}
	files := unpack(t, archive)

	var manifest []struct {
		Config           string
		RepoTags, Layers []string
	}
	decode(t, files["manifest.json"].data, &manifest)
	if len(manifest) != 1 || len(manifest[0].Layers) != 1 || !slices.Equal(manifest[0].RepoTags, []string{"skiff.example/web:v1"}) {
		t.Fatalf("manifest %+v", manifest)
	}
	var config struct {
		Architecture string
		Config       struct {
			Env, Entrypoint, Cmd []string
			User                 string
		}
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	decode(t, files[manifest[0].Config].data, &config)
	layer := files[manifest[0].Layers[0]].data
	if got, want := config.RootFS.DiffIDs[0], "sha256:"+digest(layer); got != want {
		t.Errorf("diff id %s, want %s", got, want)
	}
	c := config.Config
	if config.Architecture != "riscv64" || c.User != "65532:65532" || !slices.Equal(c.Env, []string{"PATH=/bin", "VERSION=v1"}) ||
		!slices.Equal(c.Entrypoint, []string{"/bin/web"}) || !slices.Equal(c.Cmd, []string{"serve"}) {
		t.Errorf("config %+v", config)
	}
	for name, want := range map[string]entry{
		"bin/":      {tar.TypeDir, 0o755, "", nil},
		"bin/web":   {tar.TypeReg, 0o755, "", []byte("program")},
		"bin/alias": {tar.TypeSymlink, 0o755, "web", nil},
		"etc/motd":  {tar.TypeReg, 0o644, "", []byte("hello")},
	} {
		got := unpack(t, layer)[name]
		if got.kind != want.kind || got.mode != want.mode || got.link != want.link || !bytes.Equal(got.data, want.data) {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	again, err := img.Archive()
	if err != nil || !bytes.Equal(again, archive) {
		t.Errorf("a second archive differs, or failed: %v", err)
	}
}

type entry struct {
	kind byte
	mode int64
	link string
	data []byte
}

func unpack(t *testing.T, archive []byte) map[string]entry {
	t.Helper()
	files := map[string]entry{}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = entry{h.Typeflag, h.Mode, h.Linkname, data}
	}
}

func decode(t *testing.T, data []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatalf("%q: %v", data, err)
	}
}
