package payload

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"strings"
)

// PauseRepository is the name of the pause image, without its tag. It exists
// on the node only.
const PauseRepository = "localhost/skiff/pause"

// Pause is the image of the container that holds a sandbox's namespaces.
type Pause struct {
	// Name is the full reference; the tag changes with the content.
	Name string
	// Digest is the manifest's, as "sha256:...".
	Digest string
	tar    []byte
}

// Archive returns the image as an OCI archive.
func (p *Pause) Archive() io.Reader { return bytes.NewReader(p.tar) }

// PauseImage builds the pause image from the embedded program. The same
// program gives the same bytes.
func PauseImage() (*Pause, error) { return builtin.pauseImage() }

func (s *source) pauseImage() (*Pause, error) {
	m, err := s.manifest()
	if err != nil {
		return nil, err
	}
	e, err := m.find(pause)
	if err != nil {
		return nil, err
	}
	var program bytes.Buffer
	if _, err := s.copyTo(&program, e); err != nil {
		return nil, fmt.Errorf("read the pause program: %w", err)
	}
	return buildPause(program.Bytes(), runtime.GOARCH)
}

func buildPause(program []byte, arch string) (*Pause, error) {
	layer, err := tarball(tarFile{"pause", 0o755, program})
	if err != nil {
		return nil, err
	}
	platform := map[string]any{"os": "linux", "architecture": arch}
	if arch == "arm" {
		platform["variant"] = "v7"
	}
	conf := map[string]any{
		"config": map[string]any{"Entrypoint": []string{"/pause"}, "User": "65535:65535"},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{digest(layer)}},
	}
	for k, v := range platform {
		conf[k] = v
	}
	config := encode(conf)
	manifest := encode(map[string]any{
		"schemaVersion": 2,
		"mediaType":     "application/vnd.oci.image.manifest.v1+json",
		"config":        descriptor("application/vnd.oci.image.config.v1+json", config),
		"layers":        []any{descriptor("application/vnd.oci.image.layer.v1.tar", layer)},
	})
	p := &Pause{Digest: digest(manifest)}
	p.Name = PauseRepository + ":" + strings.TrimPrefix(p.Digest, "sha256:")[:12]
	top := descriptor("application/vnd.oci.image.manifest.v1+json", manifest)
	top["platform"] = platform
	// containerd reads the full name from its own annotation.
	top["annotations"] = map[string]string{"io.containerd.image.name": p.Name}
	index := encode(map[string]any{"schemaVersion": 2, "manifests": []any{top}})
	p.tar, err = tarball(
		tarFile{"oci-layout", 0o644, []byte(`{"imageLayoutVersion":"1.0.0"}`)},
		tarFile{"index.json", 0o644, index},
		blob(manifest), blob(config), blob(layer),
	)
	return p, err
}

type tarFile struct {
	name string
	mode int64
	data []byte
}

func blob(data []byte) tarFile {
	return tarFile{"blobs/sha256/" + strings.TrimPrefix(digest(data), "sha256:"), 0o644, data}
}

// tarball has no times and no owners but root in it.
func tarball(files ...tarFile) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: f.mode, Size: int64(len(f.data)), Format: tar.FormatUSTAR}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func descriptor(mediaType string, data []byte) map[string]any {
	return map[string]any{"mediaType": mediaType, "digest": digest(data), "size": len(data)}
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// encode marshals maps, whose keys Go sorts, so the result is always the same.
func encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // maps, slices and strings only
	}
	return data
}
