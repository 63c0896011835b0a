package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Check is a named part of the server's health.
type Check struct {
	Name string
	// Run returns what is wrong, or nil.
	Run func(ctx context.Context) error
	// NotLive leaves the check out of /livez: what it finds is not cured by a
	// restart.
	NotLive bool
}

// health serves /healthz, /livez and /readyz, and single checks below them.
func (s *Server) health(endpoint string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		checks := s.checks(endpoint)
		if name := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/"+endpoint), "/"); name != "" {
			i := slices.IndexFunc(checks, func(c Check) bool { return c.Name == name })
			if i < 0 {
				http.Error(w, "404 page not found", http.StatusNotFound)
				return
			}
			checks = checks[i : i+1]
		}
		report(w, r, endpoint, checks)
	})
}

func (s *Server) checks(endpoint string) []Check {
	checks := []Check{{Name: "ping", Run: func(context.Context) error { return nil }}}
	for _, c := range s.cfg.Checks {
		if endpoint != "livez" || !c.NotLive {
			checks = append(checks, c)
		}
	}
	if endpoint == "readyz" {
		checks = append(checks, Check{Name: "shutdown", Run: func(context.Context) error {
			if s.draining.Load() {
				return errors.New("process is shutting down")
			}
			return nil
		}})
	}
	return checks
}

func quoted(names []string) string {
	out := make([]string, len(names))
	for i, name := range slices.Sorted(slices.Values(names)) {
		out[i] = strconv.Quote(name)
	}
	return strings.Join(out, ",")
}

func report(w http.ResponseWriter, r *http.Request, endpoint string, checks []Check) {
	var out strings.Builder
	failed := 0
	excluded := r.URL.Query()["exclude"]
	for _, c := range checks {
		if i := slices.Index(excluded, c.Name); i >= 0 {
			excluded = slices.Delete(excluded, i, i+1)
			fmt.Fprintf(&out, "[+]%s excluded: ok\n", c.Name)
			continue
		}
		if err := c.Run(r.Context()); err != nil {
			failed++
			fmt.Fprintf(&out, "[-]%s failed: %v\n", c.Name, err)
			continue
		}
		fmt.Fprintf(&out, "[+]%s ok\n", c.Name)
	}
	if len(excluded) > 0 {
		fmt.Fprintf(&out, "warn: some health checks cannot be excluded: no matches for %s\n", quoted(excluded))
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	switch {
	case failed > 0:
		http.Error(w, fmt.Sprintf("%s%s check failed", out.String(), endpoint), http.StatusInternalServerError)
	case r.URL.Query().Has("verbose"):
		fmt.Fprintf(w, "%s%s check passed\n", out.String(), endpoint)
	default:
		fmt.Fprint(w, "ok")
	}
}
