package client

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"
)

// transport is an http.RoundTripper that calls a handler.
type transport struct {
	handler http.Handler
	user    user.Info
}

// NewTransport returns a RoundTripper that calls h in memory: no sockets, no TLS.
// The user travels in the context of the request, so that h need not
// authenticate.
func NewTransport(h http.Handler, u user.Info) http.RoundTripper {
	return &transport{handler: h, user: u}
}

// RoundTrip implements http.RoundTripper. It returns when the handler has
// answered, or has begun to stream.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(request.WithUser(r.Context(), t.user))
	w := &response{header: http.Header{}, ready: make(chan struct{}), data: make(chan struct{}, 1), ctx: ctx, cancel: cancel}
	in := serverRequest(ctx, r)
	go w.run(t.handler, in)
	select {
	case <-w.ready:
	case <-ctx.Done():
		// The handler sees the same context end; its answer has no reader.
		cancel()
		return nil, ctx.Err()
	}
	if w.code == 0 {
		cancel()
		return nil, ctx.Err()
	}
	if w.panicked {
		cancel()
		return nil, errors.New("request to the API server in this process was aborted")
	}
	return w.response(r), nil
}

// serverRequest makes of a client's request what a server would have read.
func serverRequest(ctx context.Context, r *http.Request) *http.Request {
	in := r.WithContext(ctx)
	in.RequestURI = r.URL.RequestURI()
	in.RemoteAddr = "127.0.0.1:0"
	in.Proto, in.ProtoMajor, in.ProtoMinor = "HTTP/1.1", 1, 1
	if in.Host == "" {
		in.Host = r.URL.Host
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	// The handler may change headers; the client's are not its own.
	in.Header = make(http.Header, len(r.Header))
	for k, v := range r.Header {
		in.Header[k] = v
	}
	return in
}

func (w *response) response(r *http.Request) *http.Response {
	length := int64(-1)
	if v := w.header.Get("Content-Length"); v != "" {
		length, _ = strconv.ParseInt(v, 10, 64)
	}
	return &http.Response{
		Status: strconv.Itoa(w.code) + " " + http.StatusText(w.code), StatusCode: w.code,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, Body: w, ContentLength: length, Request: r,
	}
}
