package host

import (
	"context"
	"net"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Dial connects from the host: addresses mean what they mean there. It is what a
// client's transport needs, since a socket stays in the namespace that it was
// made in.
func (h *Host) Dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = h.Inside(func() error {
		// Without a second address family there is no second goroutine, which
		// would be in another namespace.
		conn, err = (&net.Dialer{FallbackDelay: -1}).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Inside runs f on a thread in the host's network namespace. Goroutines that f
// starts are not there.
func (h *Host) Inside(f func() error) error { return h.place.inside(f) }

// RESTConfig is the administrator's, for client-go in the test's own process.
func (h *Host) RESTConfig() *rest.Config {
	h.t.Helper()
	cfg, err := clientcmd.BuildConfigFromFlags("", h.Kubeconfig)
	if err != nil {
		h.t.Fatal(err)
	}
	cfg.Dial = h.Dial
	return cfg
}
