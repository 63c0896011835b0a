// Command pack writes a container image of one static program, as `docker save`
// would, without docker or a registry.
//
//	pack -o web.tar -name skiff.example/web:v1 [-env VERSION=v1] PROGRAM
//
// The program becomes the image's entry point, /bin/NAME, and runs as user
// 65532. The same program makes the same image.
package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

func main() {
	out := flag.String("o", "", "archive to write")
	name := flag.String("name", "", "name of the image, with its tag")
	env := flag.String("env", "", "variable to set in the image, NAME=VALUE")
	arch := flag.String("arch", runtime.GOARCH, "architecture of the program, as Go names it")
	flag.Parse()
	if *out == "" || *name == "" || flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	if err := pack(*out, *name, *env, *arch, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

// pack writes the image's archive to out.
func pack(out, name, env, arch, program string) error {
	data, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	entry := "/bin/" + filepath.Base(program)
	layer, err := archive(
		file{name: "bin/", mode: 0o755},
		file{name: entry[1:], mode: 0o755, data: data},
		file{name: "tmp/", mode: 0o1777})
	if err != nil {
		return err
	}
	config, err := json.Marshal(imageConfig(entry, env, arch, layer))
	if err != nil {
		return err
	}
	configName := digest(config) + ".json"
	manifest, err := json.Marshal([]map[string]any{
		{"Config": configName, "RepoTags": []string{name}, "Layers": []string{"layer.tar"}},
	})
	if err != nil {
		return err
	}
	image, err := archive(
		file{name: "manifest.json", mode: 0o644, data: manifest},
		file{name: configName, mode: 0o644, data: config},
		file{name: "layer.tar", mode: 0o644, data: layer})
	if err != nil {
		return err
	}
	return os.WriteFile(out, image, 0o644)
}

// imageConfig is the OCI image configuration (image-spec v1).
func imageConfig(entry, env, arch string, layer []byte) map[string]any {
	vars := []string{"PATH=/bin"}
	if env != "" {
		vars = append(vars, env)
	}
	return map[string]any{
		"os": "linux", "architecture": arch,
		"config": map[string]any{"Env": vars, "Entrypoint": []string{entry}, "User": "65532:65532"},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + digest(layer)}},
	}
}

// file is an entry of an archive; a folder's name ends in a slash.
type file struct {
	name string
	mode int64
	data []byte
}

func archive(files ...file) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		header := tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: f.mode, Size: int64(len(f.data))}
		if strings.HasSuffix(f.name, "/") {
			header.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(&header); err != nil {
			return nil, fmt.Errorf("archive %s: %w", f.name, err)
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, fmt.Errorf("archive %s: %w", f.name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
