package api

import (
	"net/http"
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"skiff/server/registry"
)

// Server is an API server: an http.Handler.
type Server struct {
	cfg      Config
	registry *registry.Registry
	routes   atomic.Pointer[routes]
	paths    *http.ServeMux
	metrics  *metrics

	reads, writes atomic.Int64
	draining      atomic.Bool
	// ended is closed when watches are to end, so that their clients go elsewhere.
	ended chan struct{}
	end   func()
}

// New returns an API server that is ready to serve.
func New(cfg Config) (*Server, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	reg, err := registry.NewRegistry(cfg.Store, cfg.Now, cfg.Resources...)
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, registry: reg, ended: make(chan struct{})}
	s.end = sync.OnceFunc(func() { close(s.ended) })
	s.metrics = newMetrics(s)
	table := newRoutes()
	if err := table.add(reg, cfg.Resources); err != nil {
		return nil, err
	}
	s.routes.Store(table)
	s.paths = s.otherPaths()
	return s, nil
}

// Registry returns the generic stores behind the server.
func (s *Server) Registry() *registry.Registry { return s.registry }

// Install serves further resources, or replaces resources of the same name.
// Requests under way finish with the old ones. Calls must not overlap.
func (s *Server) Install(resources ...*registry.Resource) error {
	if err := s.registry.Add(resources...); err != nil {
		return err
	}
	table := s.routes.Load().without(names(resources)...)
	if err := table.add(s.registry, resources); err != nil {
		return err
	}
	s.routes.Store(table)
	return nil
}

// Uninstall stops serving resources; their objects stay in the store. Calls must
// not overlap with Install.
func (s *Server) Uninstall(resources ...schema.GroupResource) {
	s.routes.Store(s.routes.Load().without(resources...))
	for _, r := range resources {
		s.registry.Remove(r)
	}
}

func names(resources []*registry.Resource) []schema.GroupResource {
	var out []schema.GroupResource
	for _, r := range resources {
		out = append(out, r.GroupResource())
	}
	return out
}

// ServeHTTP takes a request through the chain.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if stream := s.serve(w, r); stream != nil {
		stream.run(r)
	}
}

// serve answers a request, but for a watch: it returns the stream that is to run.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) *stream {
	c := &call{s: s, r: r, start: s.cfg.Now()}
	c.rec.ResponseWriter = w
	c.w = &c.rec
	defer c.finish()
	if err := s.chain(c); err != nil {
		c.fail(err)
	}
	return c.stream
}

// chain is the way of every request, from top to bottom.
func (s *Server) chain(c *call) error {
	c.setHeaders()
	if err := c.resolve(); err != nil { // what is asked for: verb, resource, namespace, name
		return err
	}
	if err := c.authenticate(); err != nil { // by whom
		return err
	}
	release, err := c.limit() // not too many at once; watches do not count
	if err != nil {
		return err
	}
	defer release()
	cancel, err := c.setDeadline() // not for too long
	if err != nil {
		return err
	}
	defer cancel()
	if err := c.impersonate(); err != nil { // in whose name
		return err
	}
	c.audit()
	if err := c.authorize(); err != nil { // is it allowed
		return err
	}
	return c.dispatch()
}
