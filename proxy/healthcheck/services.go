package healthcheck

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// retryAfter is how long a port that was taken is left alone.
const retryAfter = 30 * time.Second

// Service is one service's check.
type Service struct {
	// Port is spec.healthCheckNodePort.
	Port uint16
	// Endpoints is the number of ready ones on this node.
	Endpoints int
}

// Services answers on the health-check node port of each service that keeps
// traffic local: 200 where it has a ready endpoint, 503 where not.
type Services struct {
	health *Health
	// listen is net.Listen, or a test's.
	listen func(port uint16) (net.Listener, error)

	mu     sync.Mutex
	checks map[types.NamespacedName]*check
	// closed says that no more ports are opened.
	closed bool
	wg     sync.WaitGroup
}

// NewServices returns a Services without any.
func NewServices(health *Health) *Services {
	return &Services{health: health, listen: listenTCP, checks: map[types.NamespacedName]*check{}}
}

func listenTCP(port uint16) (net.Listener, error) {
	return net.Listen("tcp", net.JoinHostPort("", strconv.Itoa(int(port))))
}

// check is an http.Handler for one service.
type check struct {
	name types.NamespacedName
	of   *Services
	Service
	// server is nil while the port cannot be opened.
	server *http.Server
	// failed says that this has been logged.
	failed bool
}

// Run keeps ports open, and tries those again that were taken, until ctx ends.
// Then it closes all.
func (s *Services) Run(ctx context.Context) error {
	again := time.NewTicker(retryAfter)
	defer again.Stop()
	for {
		select {
		case <-again.C:
			s.mu.Lock()
			s.openAll()
			s.mu.Unlock()
		case <-ctx.Done():
			s.mu.Lock()
			s.closed = true
			for _, c := range s.checks {
				c.close()
			}
			s.mu.Unlock()
			s.wg.Wait()
			return nil
		}
	}
}

// Sync makes the checks those of wanted, and no others.
func (s *Services) Sync(wanted map[types.NamespacedName]Service) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, c := range s.checks {
		if w, ok := wanted[name]; !ok || w.Port != c.Port {
			c.close()
			delete(s.checks, name)
		}
	}
	for name, w := range wanted {
		if c := s.checks[name]; c != nil {
			c.Endpoints = w.Endpoints
			continue
		}
		s.checks[name] = &check{name: name, of: s, Service: w}
	}
	s.openAll()
}

// openAll opens the ports that are not open. s.mu is held.
func (s *Services) openAll() {
	if s.closed {
		return
	}
	for _, c := range s.checks {
		if c.server != nil {
			continue
		}
		l, err := s.listen(c.Port)
		if err != nil {
			if !c.failed {
				slog.Error("cannot open a service's health-check node port, trying until it works", "service", c.name, "port", c.Port, "err", err)
			}
			c.failed = true
			continue
		}
		c.failed, c.server = false, newServer(c)
		server := c.server
		s.wg.Go(func() {
			if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				slog.Error("a service's health check ended", "service", c.name, "err", err)
			}
		})
	}
}

func (c *check) close() {
	if c.server != nil {
		_ = c.server.Close()
		c.server = nil
	}
}

// ServeHTTP implements http.Handler. The answer is kube-proxy's.
func (c *check) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	c.of.mu.Lock()
	count := c.Endpoints
	c.of.mu.Unlock()
	type service struct {
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
	}
	healthy := c.of.health.Healthy()
	body, err := json.MarshalIndent(struct {
		Service   service `json:"service"`
		Endpoints int     `json:"localEndpoints"`
		Healthy   bool    `json:"serviceProxyHealthy"`
	}{service{c.name.Namespace, c.name.Name}, count, healthy}, "", "\t")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("X-Load-Balancing-Endpoint-Weight", strconv.Itoa(count))
	reply(w, count > 0 && healthy, body)
}
