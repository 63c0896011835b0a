package healthcheck

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Port is where kube-proxy tells its health, and load balancers ask for it.
const Port = 10256

// Proxy serves the health of the service proxy as a whole: /livez says whether
// the rules are kept up to date, /healthz whether load balancers may send traffic
// here, too.
type Proxy struct {
	health   *Health
	families []string
	// healthz and livez count answers by their code.
	healthz, livez *prometheus.CounterVec
}

// NewProxy returns the server for a proxy of the IP families (IPv4, IPv6).
func NewProxy(health *Health, families []string) *Proxy {
	counter := func(name, path string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: name, Help: "Answers to " + path + " of the service proxy, by their code.",
		}, []string{"code"})
	}
	return &Proxy{
		health: health, families: families,
		healthz: counter("kubeproxy_proxy_healthz_total", "/healthz"), livez: counter("kubeproxy_proxy_livez_total", "/livez"),
	}
}

// Collectors returns the server's metrics.
func (p *Proxy) Collectors() []prometheus.Collector {
	return []prometheus.Collector{p.healthz, p.livez}
}

// Run serves on the address until ctx ends. While it is taken, Run says so once
// and tries again.
func (p *Proxy) Run(ctx context.Context, address string) error {
	for said := false; ; said = true {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
		if err == nil {
			return serve(ctx, l, p)
		}
		if ctx.Err() != nil {
			return nil
		}
		if !said {
			slog.Warn("cannot tell load balancers whether services work here, trying until it works", "address", address, "err", err)
		}
		select {
		case <-time.After(retryAfter):
		case <-ctx.Done():
			return nil
		}
	}
}

// serve answers requests until ctx ends.
func serve(ctx context.Context, l net.Listener, h http.Handler) error {
	server := newServer(h)
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// newServer returns a server that nobody holds up.
func newServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}
}

// family is the health of one IP family's rules.
type family struct {
	LastUpdated time.Time `json:"lastUpdated"`
	Healthy     bool      `json:"healthy"`
}

// answer has the fields of kube-proxy's.
type answer struct {
	LastUpdated  time.Time         `json:"lastUpdated"`
	CurrentTime  time.Time         `json:"currentTime"`
	NodeEligible *bool             `json:"nodeEligible,omitempty"`
	Healthy      bool              `json:"healthy"`
	Status       map[string]family `json:"status,omitempty"`
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := p.health.state()
	a := answer{LastUpdated: s.updated, CurrentTime: s.now, Healthy: s.healthy, Status: map[string]family{}}
	for _, f := range p.families {
		a.Status[f] = family{s.updated, s.healthy}
	}
	counter, ok := p.livez, s.healthy
	switch r.URL.Path {
	case "/livez":
	case "/healthz":
		eligible := !s.leaving
		a.NodeEligible, counter, ok = &eligible, p.healthz, s.healthy && eligible
	default:
		http.NotFound(w, r)
		return
	}
	if ok {
		// Rules that are as wanted are as good as new.
		a.LastUpdated = s.now
	}
	counter.WithLabelValues(strconv.Itoa(code(ok))).Inc()
	body, err := json.Marshal(a)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	reply(w, ok, body)
}

func code(ok bool) int {
	if ok {
		return http.StatusOK
	}
	return http.StatusServiceUnavailable
}

func reply(w http.ResponseWriter, ok bool, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code(ok))
	_, _ = w.Write(body)
}
