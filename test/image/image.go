// Package image makes container images without docker or a registry, as archives
// that `docker save` would write: for the examples and for tests.
//
//	archive, err := image.Image{
//		Name: "skiff.example/web:v1", Arch: runtime.GOARCH, Entrypoint: []string{"/bin/web"},
//		Files: []image.File{{Name: "bin/"}, {Name: "bin/web", Mode: 0o755, Data: program}},
//	}.Archive()
package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
)

// Image is what an archive holds. The same image makes the same archive.
type Image struct {
	// Name is with its tag: skiff.example/web:v1.
	Name string
	// Arch is the architecture of the programs, as Go names it.
	Arch       string
	Entrypoint []string
	Cmd        []string
	// Env are the variables besides PATH, NAME=VALUE.
	Env []string
	// User is what the container runs as, "" is root.
	User  string
	Files []File
}

// File is an entry of the image's one layer.
type File struct {
	// Name has no slash at its begin; a folder's ends in one.
	Name string
	// Mode is 0755 for a folder and 0644 for a file unless told otherwise.
	Mode int64
	Data []byte
	// Link is where a symbolic link leads.
	Link string
}

// Archive returns the image as an archive.
func (i Image) Archive() ([]byte, error) {
	layer, err := pack(i.Files)
	if err != nil {
		return nil, err
	}
	config, err := json.Marshal(i.config(layer))
	if err != nil {
		return nil, err
	}
	configName := digest(config) + ".json"
	manifest, err := json.Marshal([]map[string]any{
		{"Config": configName, "RepoTags": []string{i.Name}, "Layers": []string{"layer.tar"}},
	})
	if err != nil {
		return nil, err
	}
	return pack([]File{
		{Name: "manifest.json", Data: manifest},
		{Name: configName, Data: config},
		{Name: "layer.tar", Data: layer},
	})
}

// config is the OCI image configuration (image-spec v1).
func (i Image) config(layer []byte) map[string]any {
	settings := map[string]any{"Env": append([]string{"PATH=/bin"}, i.Env...)}
	if i.Entrypoint != nil {
		settings["Entrypoint"] = i.Entrypoint
	}
	if i.Cmd != nil {
		settings["Cmd"] = i.Cmd
	}
	if i.User != "" {
		settings["User"] = i.User
	}
	return map[string]any{
		"os": "linux", "architecture": i.Arch, "config": settings,
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + digest(layer)}},
	}
}

func pack(files []File) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		if err := w.WriteHeader(f.header()); err != nil {
			return nil, fmt.Errorf("archive %s: %w", f.Name, err)
		}
		if _, err := w.Write(f.Data); err != nil {
			return nil, fmt.Errorf("archive %s: %w", f.Name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func (f File) header() *tar.Header {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: f.Name, Mode: f.Mode, Size: int64(len(f.Data))}
	switch {
	case strings.HasSuffix(f.Name, "/"):
		h.Typeflag = tar.TypeDir
	case f.Link != "":
		h.Typeflag, h.Linkname = tar.TypeSymlink, f.Link
	}
	if h.Mode == 0 {
		h.Mode = 0o644
		if h.Typeflag != tar.TypeReg {
			h.Mode = 0o755
		}
	}
	return h
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
