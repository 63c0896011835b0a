package tunnel

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/yamux"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/streaming/pkg/httpstream"

	"skiff/server/tunnel/wire"
)

// nodePrefix is what the names of nodes' users begin with.
const nodePrefix = "system:node:"

// Server holds the tunnels of nodes. It is the http.Handler that takes them, behind
// authentication; the other methods may be called at any time.
type Server struct {
	log *slog.Logger

	mu      sync.Mutex
	tunnels map[string]*tunnel
	// lost are the nodes whose tunnel ended and did not come back.
	lost   map[string]struct{}
	closed bool
	counts counts
}

// tunnel is one node's.
type tunnel struct {
	node    string
	session *yamux.Session
}

// New returns a Server without tunnels.
func New(log *slog.Logger) *Server {
	return &Server{log: log, tunnels: map[string]*tunnel{}, lost: map[string]struct{}{}}
}

// ServeHTTP takes a node's tunnel. It returns at once, so that a waiting tunnel
// keeps nothing of its request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	node, err := nodeOf(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	if !asksFor(r, wire.Protocol) {
		w.Header().Set("Upgrade", wire.Protocol)
		http.Error(w, "this is the way for tunnels of nodes: upgrade to "+wire.Protocol+" is required, over HTTP/1.1", http.StatusUpgradeRequired)
		return
	}
	if err := s.take(w, node); err != nil {
		s.log.Debug("tunnel not taken", "node", node, "err", err)
	}
}

// nodeOf returns the node that a request comes from. It must show the node's own
// certificate: nobody gets a node's requests by a token, or in its name.
func nodeOf(r *http.Request) (string, error) {
	u, ok := request.UserFrom(r.Context())
	if !ok {
		return "", fmt.Errorf("tunnels are for nodes, and this request has no user")
	}
	name, ok := strings.CutPrefix(u.GetName(), nodePrefix)
	if !ok || name == "" || !slices.Contains(u.GetGroups(), user.NodesGroup) {
		return "", fmt.Errorf("tunnels are for nodes, and user %q is none", u.GetName())
	}
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 || r.TLS.PeerCertificates[0].Subject.CommonName != u.GetName() {
		return "", fmt.Errorf("a tunnel needs the client certificate of node %q", name)
	}
	return name, nil
}

func asksFor(r *http.Request, protocol string) bool {
	return r.Method == http.MethodGet && r.ProtoMajor == 1 && httpstream.IsUpgradeRequest(r) && r.Header.Get("Upgrade") == protocol
}

// take makes a tunnel of the request's connection.
func (s *Server) take(w http.ResponseWriter, node string) error {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "the connection cannot be upgraded", http.StatusInternalServerError)
		return fmt.Errorf("take over the connection: %w", err)
	}
	fail := func(err error) error {
		_ = conn.Close() // err says more
		return err
	}
	if buffered.Reader.Buffered() > 0 {
		return fail(fmt.Errorf("the agent began before it was answered"))
	}
	if err := conn.SetDeadline(time.Now().Add(wire.PingTimeout)); err != nil {
		return fail(err)
	}
	if _, err := io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+wire.Protocol+"\r\n\r\n"); err != nil {
		return fail(fmt.Errorf("answer: %w", err))
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return fail(err)
	}
	t := &tunnel{node: node}
	session, err := wire.ServerSession(conn, s.log.With("node", node), func() { s.remove(t) })
	if err != nil {
		return fail(err)
	}
	s.add(t, session)
	return nil
}

// add begins to use a tunnel. It takes the place of the node's earlier one: that is
// a connection whose end has not been noticed here.
func (s *Server) add(t *tunnel, session *yamux.Session) {
	s.mu.Lock()
	old, closed := s.tunnels[t.node], s.closed
	t.session = session
	if !closed && !session.IsClosed() {
		s.tunnels[t.node] = t
		s.counts.connected++
		delete(s.lost, t.node)
	}
	s.mu.Unlock()
	if closed {
		_ = session.Close() // never fails
		return
	}
	if old != nil {
		s.log.Debug("tunnel replaced by a newer one of the same node", "node", t.node)
		_ = old.session.Close() // never fails
	}
	// Streams are opened from here alone. A node that tries learns that it may not;
	// one that is gone already is noticed by the session.
	_ = session.GoAway()
}

// remove forgets a tunnel that ended, unless a newer one has its place.
func (s *Server) remove(t *tunnel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tunnels[t.node] == t {
		delete(s.tunnels, t.node)
		s.lost[t.node] = struct{}{}
	}
}

// Nodes returns the names of the nodes that have a tunnel, sorted.
func (s *Server) Nodes() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.tunnels))
}

// Lost tells whether a node had a tunnel and has none now: it cannot be expected to
// be found at its address.
func (s *Server) Lost(node string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, lost := s.lost[node]
	return lost
}

// Close ends all tunnels and takes no more.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	open := slices.Collect(maps.Values(s.tunnels))
	s.mu.Unlock()
	for _, t := range open {
		_ = t.session.Close() // never fails
	}
}
