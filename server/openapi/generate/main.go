//go:build openapigen

// Command generate writes the OpenAPI documents that package openapi serves.
// It is run by generate.sh, after openapi-gen has written the package definitions.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
	"k8s.io/kube-openapi/pkg/handler"

	"skiff/server/openapi"
	"skiff/server/registry/builtin"
)

func main() {
	dir := flag.String("dir", "docs", "directory of the documents")
	module := flag.String("gomod", "../../go.mod", "the module's go.mod")
	flag.Parse()
	if err := run(*dir, *module); err != nil {
		log.Fatal(err)
	}
}

func run(dir, module string) error {
	table := builtin.Complete()
	g, err := newGenerator(table)
	if err != nil {
		return err
	}
	docs, err := g.v3()
	if err != nil {
		return err
	}
	swagger, err := g.v2()
	if err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	v2, err := json.Marshal(swagger)
	if err != nil {
		return fmt.Errorf("encode OpenAPI v2: %w", err)
	}
	pb, err := handler.ToProtoBinary(v2)
	if err != nil {
		return fmt.Errorf("encode OpenAPI v2 as protobuf: %w", err)
	}
	files := map[string][]byte{"v2.json": v2, "v2.pb": pb}
	for path, doc := range docs {
		b, err := json.Marshal(doc)
		if err != nil {
			return fmt.Errorf("encode OpenAPI v3 of %s: %w", path, err)
		}
		files["v3_"+strings.ReplaceAll(path, "/", "_")+".json"] = b
	}
	index := openapi.Index{Documents: map[string]openapi.Document{}}
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithWindowSize(8<<20))
	if err != nil {
		return err
	}
	total := 0
	for name, b := range files {
		c := encoder.EncodeAll(b, nil)
		total += len(c)
		if err := os.WriteFile(filepath.Join(dir, name+".zst"), c, 0o644); err != nil {
			return err
		}
		index.Documents[name] = openapi.Describe(b)
	}
	for path := range docs {
		index.Paths = append(index.Paths, path)
	}
	slices.Sort(index.Paths)
	if index.Inputs, err = openapi.Inputs(module, builtin.List(table)); err != nil {
		return err
	}
	b, err := json.MarshalIndent(index, "", " ")
	if err != nil {
		return err
	}
	log.Printf("%d documents, %d bytes compressed", len(files), total)
	return os.WriteFile(filepath.Join(dir, "index.json"), append(b, '\n'), 0o644)
}
