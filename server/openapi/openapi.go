package openapi

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
)

//go:embed docs
var files embed.FS

// Media types of the documents.
const (
	mediaJSON   = "application/json"
	mediaProto2 = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
	// mediaProto2Old is what clients ask for; it is no valid media type.
	mediaProto2Old = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
)

// maxDocument bounds what a document may decompress to.
const maxDocument = 32 << 20

// Docs serves the documents. It is safe for concurrent use.
type Docs struct {
	index Index
	// root is the answer to /openapi/v3.
	root []byte
}

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
	type item struct {
		URL string `json:"serverRelativeURL"`
	}
	paths := map[string]item{}
	for _, p := range d.index.Paths {
		paths[p] = item{"/openapi/v3/" + p + "?hash=" + d.index.Documents[v3Name(p)].Hash}
	}
	d.root, err = json.Marshal(map[string]any{"paths": paths})
	return d, err
}

func v3Name(p string) string { return "v3_" + strings.ReplaceAll(p, "/", "_") + ".json" }

// Paths returns the version 3 documents' paths, e.g. "apis/apps/v1", and the
// URLs under which they are found. Documents of custom resources join them there.
func (d *Docs) Paths() map[string]string {
	urls := make(map[string]string, len(d.index.Paths))
	for _, p := range d.index.Paths {
		urls[p] = "/openapi/v3/" + p + "?hash=" + d.index.Documents[v3Name(p)].Hash
	}
	return urls
}

// ServeHTTP implements http.Handler for /openapi/v2, /openapi/v3 and what is below
// it.
func (d *Docs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	switch p := strings.TrimSuffix(path.Clean(r.URL.Path), "/"); {
	case p == "/openapi/v2":
		d.serveV2(w, r)
	case p == "/openapi/v3":
		w.Header().Set("Content-Type", mediaJSON)
		w.Header().Set("Etag", `"`+Describe(d.root).Hash+`"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(d.root))
	case strings.HasPrefix(p, "/openapi/v3/"):
		d.serveV3(w, r, strings.TrimPrefix(p, "/openapi/v3/"))
	default:
		http.NotFound(w, r)
	}
}

func (d *Docs) serveV2(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Vary", "Accept")
	switch accepted(r.Header.Get("Accept"), mediaJSON, mediaProto2, mediaProto2Old) {
	case mediaJSON:
		d.serve(w, r, "v2.json", mediaJSON)
	case mediaProto2, mediaProto2Old:
		d.serve(w, r, "v2.pb", mediaProto2)
	default:
		w.WriteHeader(http.StatusNotAcceptable)
	}
}

func (d *Docs) serveV3(w http.ResponseWriter, r *http.Request, p string) {
	w.Header().Set("Vary", "Accept")
	if !slices.Contains(d.index.Paths, p) {
		http.NotFound(w, r)
		return
	}
	if accepted(r.Header.Get("Accept"), mediaJSON) == "" {
		w.WriteHeader(http.StatusNotAcceptable)
		return
	}
	doc := d.index.Documents[v3Name(p)]
	if hash := r.URL.Query().Get("hash"); hash != "" {
		if hash != doc.Hash {
			http.Redirect(w, r, "/openapi/v3/"+p+"?hash="+doc.Hash, http.StatusMovedPermanently)
			return
		}
		// The URL names this very content: it can be kept forever.
		w.Header().Set("Cache-Control", "public, immutable")
		w.Header().Set("Expires", time.Now().AddDate(1, 0, 0).UTC().Format(http.TimeFormat))
	}
	d.serve(w, r, v3Name(p), mediaJSON)
}

// accepted returns the first of offers that an Accept header allows, in the
// header's order; "" if none is.
func accepted(header string, offers ...string) string {
	if header == "" {
		return offers[0]
	}
	for clause := range strings.SplitSeq(header, ",") {
		want, _, _ := strings.Cut(clause, ";")
		want = strings.TrimSpace(want)
		for _, o := range offers {
			if want == o || want == "*/*" || want == "application/*" {
				return o
			}
		}
	}
	return ""
}

// serve writes a document, or says that the client has it already, which costs no
// decompression.
func (d *Docs) serve(w http.ResponseWriter, r *http.Request, name, media string) {
	doc := d.index.Documents[name]
	etag := `"` + doc.Hash + `"`
	w.Header().Set("Etag", etag)
	w.Header().Set("Content-Type", media)
	if match := r.Header.Get("If-None-Match"); match != "" && strings.Contains(match, etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	b, err := Read(name)
	if err != nil {
		w.Header().Del("Etag")
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
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
