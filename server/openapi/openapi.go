package openapi

import (
	"bytes"
	"compress/gzip"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"skiff/server/api"
)

//go:embed docs
var files embed.FS

// maxDocument bounds what a document may decompress to.
const maxDocument = 32 << 20

// Docs has the documents. It implements api.OpenAPI and is safe for concurrent use.
type Docs struct{ index Index }

// New reads the index of the documents.
func New() (*Docs, error) {
	b, err := files.ReadFile("docs/index.json")
	if err != nil {
		return nil, fmt.Errorf("read index of OpenAPI documents: %w", err)
	}
	d := &Docs{}
	if err := json.Unmarshal(b, &d.index); err != nil {
		return nil, fmt.Errorf("decode index of OpenAPI documents: %w", err)
	}
	return d, nil
}

func v3Name(p string) string { return "v3_" + strings.ReplaceAll(p, "/", "_") + ".json" }

// V2 implements api.OpenAPI.
func (d *Docs) V2(context.Context) (api.Document, error) {
	return api.Document{Hash: d.index.Documents["v2.json"].Hash, JSON: packed("v2.json"), Protobuf: packed("v2.pb")}, nil
}

// V3 implements api.OpenAPI. Its documents have no protobuf form: no client asks
// for one.
func (d *Docs) V3(_ context.Context, path string) (api.Document, bool, error) {
	if !slices.Contains(d.index.Paths, path) {
		return api.Document{}, false, nil
	}
	name := v3Name(path)
	return api.Document{Hash: d.index.Documents[name].Hash, JSON: packed(name)}, true, nil
}

// V3Paths implements api.OpenAPI.
func (d *Docs) V3Paths(context.Context) (map[string]string, error) {
	hashes := make(map[string]string, len(d.index.Paths))
	for _, p := range d.index.Paths {
		hashes[p] = d.index.Documents[v3Name(p)].Hash
	}
	return hashes, nil
}

// packed returns a function that reads a document and compresses it for clients.
func packed(name string) func() ([]byte, error) {
	return func() ([]byte, error) {
		b, err := Read(name)
		if err != nil {
			return nil, err
		}
		var out bytes.Buffer
		zw, _ := gzip.NewWriterLevel(&out, gzip.BestSpeed) // the level is valid
		_, _ = zw.Write(b)                                 // a buffer takes everything
		_ = zw.Close()
		return out.Bytes(), nil
	}
}

// Read returns an embedded document by its name in the index.
func Read(name string) ([]byte, error) {
	b, err := files.ReadFile("docs/" + name + ".zst")
	if err != nil {
		return nil, fmt.Errorf("read OpenAPI document %s: %w", name, err)
	}
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxDocument))
	if err != nil {
		return nil, fmt.Errorf("decompress OpenAPI document %s: %w", name, err)
	}
	defer decoder.Close()
	if b, err = decoder.DecodeAll(b, nil); err != nil {
		return nil, fmt.Errorf("decompress OpenAPI document %s: %w", name, err)
	}
	return b, nil
}
