package builtin

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"skiff/server/api/apitest"
	"skiff/server/registry/core"
)

// echo is a network in which every address answers with the request that it got.
type echo struct{}

// RoundTrip implements http.RoundTripper.
func (echo) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"text/plain"}},
		Body:   io.NopCloser(strings.NewReader(r.Method + " " + r.URL.String() + "\n")),
	}, nil
}

// Node implements core.NodeConn; there is one node.
func (echo) Node(_ context.Context, name string) (*core.NodeAddress, error) {
	if name != "n1" {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "nodes"}, name)
	}
	return &core.NodeAddress{Scheme: "https", Host: "10.0.0.1:10250", Transport: echo{}, Insecure: echo{}}, nil
}

// Network implements core.NodeConn.
func (echo) Network(string) http.RoundTripper { return echo{} }

// TestProxy leads requests through the API server to pods, services and nodes.
func TestProxy(t *testing.T) {
	apitest.Scripts(t, "testdata/proxy/*.txtar", func(t *testing.T) http.Handler { return newServerWith(t, echo{}) })
}
