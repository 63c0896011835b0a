package api

import (
	"context"
	"net/http"
	"strings"

	"k8s.io/apimachinery/pkg/util/json"
)

// OpenAPI gives the published documents.
type OpenAPI interface {
	// V2 returns the OpenAPI v2 document.
	V2(ctx context.Context) (Document, error)
	// V3 returns the OpenAPI v3 document of one part of the API ("api/v1",
	// "apis/apps/v1"); ok is false if there is none.
	V3(ctx context.Context, path string) (doc Document, ok bool, err error)
	// V3Paths returns the parts of the v3 API with a hash of each document.
	V3Paths(ctx context.Context) (map[string]string, error)
}

// Document is one document, kept compressed.
type Document struct {
	// Hash changes when the document does.
	Hash string
	// JSON and Protobuf return the document in that encoding, compressed with
	// gzip. Protobuf may be nil.
	JSON, Protobuf func() ([]byte, error)
}

const (
	protobufV2 = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
	protobufV3 = "application/com.github.proto-openapi.spec.v3@v1.0+protobuf"
)

func (s *Server) openAPIv2(w http.ResponseWriter, r *http.Request) {
	doc, err := s.cfg.OpenAPI.V2(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	serveDocument(w, r, doc, protobufV2)
}

func (s *Server) openAPIv3Index(w http.ResponseWriter, r *http.Request) {
	paths, err := s.cfg.OpenAPI.V3Paths(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	type link struct {
		URL string `json:"serverRelativeURL"`
	}
	index := struct {
		Paths map[string]link `json:"paths"`
	}{map[string]link{}}
	for path, hash := range paths {
		index.Paths[path] = link{"/openapi/v3/" + path + "?hash=" + hash}
	}
	js, _ := json.Marshal(index) // cannot fail
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(js)
}

func (s *Server) openAPIv3(w http.ResponseWriter, r *http.Request) {
	doc, ok, err := s.cfg.OpenAPI.V3(r.Context(), strings.TrimPrefix(r.URL.Path, "/openapi/v3/"))
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	case !ok:
		http.Error(w, "404 page not found", http.StatusNotFound)
		return
	}
	if r.URL.Query().Get("hash") == doc.Hash {
		// The URL names this very document: caches may keep it for good.
		w.Header().Set("Cache-Control", "public, immutable")
		w.Header().Set("Expires", s.cfg.Now().AddDate(1, 0, 0).UTC().Format(http.TimeFormat))
	}
	serveDocument(w, r, doc, protobufV3)
}

// serveDocument sends a document compressed, or unpacks it for clients that do
// not take that.
func serveDocument(w http.ResponseWriter, r *http.Request, doc Document, protobuf string) {
	etag := `"` + doc.Hash + `"`
	h := w.Header()
	h.Set("Etag", etag)
	h.Set("Vary", "Accept-Encoding, Accept")
	if r.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	load, typ := doc.JSON, string(mediaJSON)
	if doc.Protobuf != nil && strings.Contains(r.Header.Get("Accept"), protobuf) {
		load, typ = doc.Protobuf, protobuf
	}
	packed, err := load()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h.Set("Content-Type", strings.Replace(typ, "@v1.0", ".v1.0", 1))
	sendPacked(w, r, packed)
}
