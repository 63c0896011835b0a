package api

import (
	"net/http"
	"net/http/pprof"

	"skiff/server/discovery"
	"skiff/version"
)

// otherPaths are those outside the API's resources, besides discovery.
func (s *Server) otherPaths() *http.ServeMux {
	mux := http.NewServeMux()
	for _, name := range []string{"healthz", "livez", "readyz"} {
		mux.Handle("/"+name, s.health(name))
		mux.Handle("/"+name+"/", s.health(name))
	}
	mux.Handle("/metrics", s.metrics.handler())
	mux.HandleFunc("/version", serveVersion)
	mux.HandleFunc("/version/", serveVersion)
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	if s.cfg.OpenAPI != nil {
		mux.HandleFunc("/openapi/v2", s.openAPIv2)
		mux.HandleFunc("/openapi/v3", s.openAPIv3Index)
		mux.HandleFunc("/openapi/v3/", s.openAPIv3)
	}
	for path, h := range s.cfg.Paths {
		mux.Handle(path, h)
	}
	return mux
}

// other serves what is not a resource: discovery, or one of otherPaths.
func (c *call) other() error {
	doc, ok := discovery.Path(c.r.URL.Path)
	if (ok || c.r.URL.Path == "/") && c.r.Method != http.MethodGet {
		return errNotSupported()
	}
	switch {
	case c.r.URL.Path == "/":
		return c.index()
	case ok:
		return c.discovery(doc)
	}
	h, pattern := c.s.paths.Handler(c.r)
	if pattern == "" {
		return c.noPage()
	}
	h.ServeHTTP(c.w, c.r.WithContext(c.ctx))
	return nil
}

func serveVersion(w http.ResponseWriter, _ *http.Request) {
	js, _ := appendJSON(nil, version.Info(), true) // cannot fail
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(js)
}

// noPage answers for paths outside of the API groups, where clients expect no
// Status.
func (c *call) noPage() error {
	http.Error(c.w, "404 page not found", http.StatusNotFound)
	return nil
}
