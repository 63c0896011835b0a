package api

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"skiff/server/discovery"
)

// discovery answers a discovery document.
func (c *call) discovery(req discovery.Request) error {
	docs := discovery.Of(c.s.routes.Load().resources)
	root := req.Group == "" && req.Version == ""
	if root {
		if m, ok := c.wantsAggregated(); ok {
			return c.aggregated(m, docs.Aggregated(req.Legacy))
		}
	}
	o, err := c.negotiate(nil)
	if err != nil {
		return err
	}
	var doc runtime.Object
	found := true
	switch {
	case root && req.Legacy:
		doc = docs.Versions(c.r.Host)
	case root:
		doc = docs.Groups()
	case req.Version == "":
		doc, found = docs.Group(req.Group)
	default:
		doc, found = docs.Resources(req.Group, req.Version)
	}
	if !found && (req.Legacy || c.s.routes.Load().serves(req.Group)) {
		return errNoSuchPath()
	}
	if !found {
		return c.noPage()
	}
	if root && o.media == mediaProtobuf {
		doc.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: doc.GetObjectKind().GroupVersionKind().Kind})
	}
	return c.respondObject(http.StatusOK, o, doc)
}

// wantsAggregated tells whether the client prefers aggregated discovery, and in
// which encoding.
func (c *call) wantsAggregated() (media, bool) {
	for _, cl := range parseAccept(c.r.Header.Get("Accept")) {
		switch {
		case cl.as == discovery.AggregatedKind && cl.media == "":
			return mediaJSON, true
		case cl.as == discovery.AggregatedKind && cl.media != mediaYAML:
			return cl.media, true
		case cl.as.Empty():
			return "", false
		}
	}
	return "", false
}

// aggregated sends aggregated discovery, or says that the client's copy is good.
func (c *call) aggregated(m media, doc runtime.Object) error {
	body, err := appendAny(nil, output{media: m}, doc)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	etag := `"` + hex.EncodeToString(sum[:]) + `"`
	c.w.Header().Set("Etag", etag)
	c.w.Header().Set("Vary", "Accept")
	if c.r.Header.Get("If-None-Match") == etag {
		c.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	gvk := discovery.AggregatedKind
	typ := string(m) + ";g=" + gvk.Group + ";v=" + gvk.Version + ";as=" + gvk.Kind
	return gone(c.send(http.StatusOK, typ, body))
}

// index answers the root with the paths that are served.
func (c *call) index() error {
	paths := []string{"/api", "/apis", "/healthz", "/livez", "/metrics", "/readyz", "/version"}
	docs := discovery.Of(c.s.routes.Load().resources)
	for _, v := range docs.Versions("").Versions {
		paths = append(paths, "/api/"+v)
	}
	for _, g := range docs.Groups().Groups {
		paths = append(paths, "/apis/"+g.Name)
		for _, v := range g.Versions {
			paths = append(paths, "/apis/"+v.GroupVersion)
		}
	}
	for path := range c.s.cfg.Paths {
		paths = append(paths, path)
	}
	if c.s.cfg.OpenAPI != nil {
		paths = append(paths, "/openapi/v2", "/openapi/v3")
	}
	slices.Sort(paths)
	js, err := appendJSON(nil, map[string][]string{"paths": paths}, true)
	if err != nil {
		return err
	}
	return gone(c.send(http.StatusOK, string(mediaJSON), js))
}
