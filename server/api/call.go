package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/warning"

	"skiff/server/registry"
)

// call is one request on its way through the chain.
type call struct {
	s     *Server
	w     http.ResponseWriter
	r     *http.Request
	rec   recorder
	ctx   context.Context
	start time.Time

	info     *request.RequestInfo
	long     bool // long-running: watch, exec, ...
	user     user.Info
	audited  func(code int)
	warnings warnings
	values   url.Values // the parsed query, nil if there is none

	endpoint *endpoint
	sub      *registry.Subresource
	// stream is what follows the call of a watch.
	stream *stream
}

func (c *call) setHeaders() {
	h := c.w.Header()
	h.Set("Audit-Id", auditID(c.r))
	h.Set("Cache-Control", "no-cache, private")
}

func auditID(r *http.Request) string {
	if id := r.Header.Get("Audit-Id"); id != "" {
		return id
	}
	return string(uuid.NewUUID())
}

// resolve parses what is asked for.
func (c *call) resolve() error {
	c.ctx = c.r.Context()
	if c.r.URL.RawQuery != "" {
		c.values = c.r.URL.Query()
	}
	info, err := requestInfo(c.r, c.values)
	c.info = info
	if err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	c.long = longRunning(info)
	c.warnings.header = c.w.Header()
	c.ctx = warning.WithWarningRecorder(request.WithRequestInfo(c.ctx, info), &c.warnings)
	return nil
}

func longRunning(info *request.RequestInfo) bool {
	if !info.IsResourceRequest {
		return strings.HasPrefix(info.Path, "/debug/pprof/")
	}
	switch info.Verb {
	case "watch", "proxy":
		return true
	}
	switch info.Subresource {
	case "attach", "exec", "proxy", "log", "portforward":
		return true
	}
	return false
}

// survive logs the panic p and what it came from, unless it is the one that ends a
// connection.
func (s *Server) survive(p any, where ...any) {
	if p == http.ErrAbortHandler { //nolint:errorlint // as net/http compares it
		panic(p)
	}
	s.cfg.Logger.Error("request panicked", append(where, "err", fmt.Sprint(p), "stack", string(debug.Stack()))...)
}

// finish ends every call, panicking ones too, but for one that became a stream.
func (c *call) finish() {
	if p := recover(); p != nil {
		c.s.survive(p, "verb", c.r.Method, "path", c.r.URL.Path)
		if c.rec.code == 0 {
			http.Error(c.w, "This request caused apiserver to panic. Look in the logs for details.", http.StatusInternalServerError)
		}
	}
	if c.stream != nil {
		return
	}
	code := c.rec.code
	if code == 0 {
		code = http.StatusOK
	}
	if c.audited != nil {
		c.audited(code)
	}
	c.s.metrics.observe(c, code)
}

// recorder remembers the response's code.
type recorder struct {
	http.ResponseWriter
	code int
}

func (r *recorder) WriteHeader(code int) {
	if r.code == 0 || r.code < http.StatusOK {
		r.code = code
	}
	r.ResponseWriter.WriteHeader(code)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.code == 0 {
		r.code = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

// Flush implements http.Flusher.
func (r *recorder) Flush() {
	if f, ok := r.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}

// Hijack implements http.Hijacker.
func (r *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	h, ok := r.ResponseWriter.(http.Hijacker)
	if !ok {
		return nil, nil, errors.New("the connection cannot be taken over")
	}
	r.code = http.StatusSwitchingProtocols
	return h.Hijack()
}

// Unwrap serves http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

const (
	warningsTotal = 4 * 1024 // runes in all Warning headers before they are cut
	warningsEach  = 256      // runes of one when they are
)

// warnings writes Warning headers (RFC 7234 5.5, agent "-", code 299).
type warnings struct {
	header  http.Header
	texts   []string
	written int
	cutting bool
}

// AddWarning implements warning.Recorder.
func (w *warnings) AddWarning(agent, text string) {
	if text == "" || w.header == nil {
		return
	}
	for _, t := range w.texts {
		if t == text {
			return
		}
	}
	w.texts = append(w.texts, text)
	if w.cutting {
		if w.written < warningsTotal {
			w.write(agent, cut(text))
		}
		return
	}
	if w.written+utf8.RuneCountInString(text) <= warningsTotal {
		w.write(agent, text)
		return
	}
	w.cutting, w.written = true, 0
	w.header.Del("Warning")
	for _, t := range w.texts {
		w.write(agent, cut(t))
	}
}

func (w *warnings) write(agent, text string) {
	if h, err := utilnet.NewWarningHeader(299, agent, text); err == nil {
		w.written += utf8.RuneCountInString(text)
		w.header.Add("Warning", h)
	}
}

func cut(text string) string {
	if utf8.RuneCountInString(text) <= warningsEach {
		return text
	}
	return string([]rune(text)[:warningsEach])
}
