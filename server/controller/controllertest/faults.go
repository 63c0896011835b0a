package controllertest

import (
	"errors"
	"net/http"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// faults decides which calls fail.
type faults struct {
	every int

	mu  sync.Mutex
	n   int
	off bool
}

func (f *faults) next() (fail, after bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.off {
		return false, false
	}
	f.n++
	return f.n%f.every == 0, f.n/f.every%2 == 0
}

// faulty is a transport to the API on which calls fail.
type faulty struct {
	api    *API
	faults *faults
}

// RoundTrip implements http.RoundTripper. Reads are left alone: informers only
// repeat them.
func (f *faulty) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodGet || strings.Contains(req.URL.Path, "/events") {
		return f.api.RoundTrip(req)
	}
	fail, after := f.faults.next()
	if !fail {
		return f.api.RoundTrip(req)
	}
	if after {
		if _, err := f.api.RoundTrip(req); err != nil {
			return nil, err
		}
	}
	return respondError(req, apierrors.NewInternalError(errors.New("injected fault"))), nil
}
