package join

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/connrotation"

	"skiff/server/client"
	"skiff/server/clusterinfo"
	"skiff/server/pki"
)

// Config says who joins what.
type Config struct {
	// Dir is the node's folder; it is made if it is missing.
	Dir string
	// NodeName is the node's.
	NodeName string
	// Server is where a server is reached, https://HOST[:PORT].
	Server string
	// Token is what a node joins with; the zero Token is none, which a member does
	// without.
	Token pki.Token
	// Dial makes connections; nil is the network's own way.
	Dial   func(ctx context.Context, network, address string) (net.Conn, error)
	Logger *slog.Logger
}

const (
	firstRetry, lastRetry = 200 * time.Millisecond, 5 * time.Second
	// refreshTimeout bounds how long a member looks for news of its cluster before
	// it starts with what it knows.
	refreshTimeout = time.Second
)

// Join makes the box a node, or returns what it is already: a member needs
// neither token nor server to start. It goes on trying while the server cannot be
// reached, and says so once a minute; the error is a definitive refusal in one
// line, or that of ctx.
func Join(ctx context.Context, cfg Config) (*Member, error) {
	m, err := open(cfg)
	if err != nil {
		return nil, err
	}
	if err := m.enter(ctx); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// enter makes sure of what a member has, or tries until the box has joined.
func (m *Member) enter(ctx context.Context) error {
	if m.joined() && m.refresh(ctx) {
		return m.rejoin(ctx)
	}
	if m.cfg.Token.Secret == "" {
		return m.needsToken()
	}
	r := reach{log: m.log}
	for delay := firstRetry; ; delay = min(2*delay, lastRetry) {
		err := m.join(ctx)
		if err == nil {
			r.ok(m.cfg.Server)
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err = m.clock.explain(err); isRefusal(err) {
			return fmt.Errorf("join: %w", err)
		}
		r.failed(m.cfg.Server, err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(delay):
		}
	}
	return nil
}

// open reads what the node's folder holds.
func open(cfg Config) (*Member, error) {
	server, err := hostPort(cfg.Server)
	if err != nil {
		return nil, err
	}
	if cfg.Dial == nil {
		cfg.Dial = (&net.Dialer{}).DialContext
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	conns := connrotation.NewDialer(connrotation.DialFunc(cfg.Dial))
	m := &Member{
		conns: conns,
		cfg:   cfg, log: cfg.Logger, kept: kept{cfg.Dir}, server: server, clock: &serverClock{}, share: rand.Float64(),
		wake: make(chan struct{}, 1),
	}
	m.cfg.Dial = m.dial
	if m.key, err = m.kept.key(); err != nil {
		return nil, err
	}
	m.client.Store(m.kept.certificate(clientFile, m.key))
	m.serving.Store(m.kept.certificate(servingFile, m.key))
	if m.client.Load() == nil {
		return m, nil // what else is kept is of a join that was not finished
	}
	if m.authority, err = m.kept.authority(); err != nil || m.authority == nil {
		return m, err
	}
	if err := m.sameCluster(); err != nil {
		return nil, err
	}
	if i := m.kept.info(); i != nil {
		m.info = *i
	}
	m.connect()
	return m, nil
}

// sameCluster refuses a token of another cluster: what runs here is of the one
// that the node has joined.
func (m *Member) sameCluster() error {
	if m.cfg.Token.Hash == "" || m.cfg.Token.VerifyAuthority(m.authority) == nil {
		return nil
	}
	return fmt.Errorf("token: it is for another cluster than the one that this box has joined (%s): leave that one with `skiff uninstall` first, or choose another --data-dir", m.cfg.Dir)
}

// identified tells whether the node has a certificate that servers should take.
func (m *Member) identified() bool {
	c := m.client.Load()
	return c != nil && m.authority != nil && !c.ended(m.clock.now()) && c.tls.Leaf.Subject.CommonName == nodePrefix+m.cfg.NodeName
}

// joined tells whether the node can start with what it has.
func (m *Member) joined() bool { return m.identified() && len(m.info.Servers) > 0 }

func (m *Member) needsToken() error {
	switch c := m.client.Load(); {
	case m.refused:
		return errors.New("token: the server does not take this node's certificate any more: give a token to join again, `skiff token create` on a server makes one")
	case c != nil && c.ended(m.clock.now()):
		return fmt.Errorf("token: the node's certificate ended on %s, before it could be renewed: give a token to join again, `skiff token create` on a server makes one",
			c.tls.Leaf.NotAfter.Format(time.DateOnly))
	}
	return errors.New("token: is missing, `skiff token create` on a server makes one")
}

// connect makes the link to the servers.
func (m *Member) connect() {
	roots := x509.NewCertPool()
	roots.AddCert(m.authority)
	m.link = newLink(m.cfg.Dial, roots, m.certificate, m.clock, m.server)
	if len(m.info.Servers) > 0 {
		m.link.follow(hostPorts(m.info.Servers))
	}
}

// join is one try. What an earlier one has got is not asked for again.
func (m *Member) join(ctx context.Context) error {
	if !m.identified() {
		authority, err := fetchAuthority(ctx, m.cfg.Dial, m.server, m.cfg.Token, m.clock)
		if err != nil {
			return err
		}
		m.authority = authority
		m.connect()
		if err := m.bootstrap(ctx); err != nil {
			return err
		}
		if off := m.clock.off(); off != 0 {
			m.log.Warn("this box's clock is wrong, set it: times in logs and events are wrong as well", "off", aheadOrBehind(off))
		}
	}
	err := m.fetchInfo(ctx)
	if apierrors.IsUnauthorized(err) {
		m.client.Store(nil)
	}
	return err
}

// bootstrap gets the node a client certificate by its token, over a connection
// that shows no other.
func (m *Member) bootstrap(ctx context.Context) error {
	l := newLink(m.cfg.Dial, m.link.roots, func() *tls.Certificate { return nil }, m.clock, m.link.list()...)
	defer l.close()
	c := m.restConfig()
	c.Transport = l
	c.BearerToken = m.cfg.Token.ID + "." + m.cfg.Token.Secret
	return m.requestClient(ctx, c)
}

// requestClient gets the node a client certificate, asking as cfg says.
func (m *Member) requestClient(ctx context.Context, cfg *rest.Config) error {
	clients, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return err
	}
	chain, err := clientRequest(m.cfg.NodeName).submit(ctx, clients, m.key)
	if err != nil {
		return m.explain(err)
	}
	c, err := newIssued(chain, m.key, m.clock.now())
	if err != nil {
		return fmt.Errorf("the certificate from the server: %w", err)
	}
	if err := errors.Join(m.kept.saveAuthority(m.authority), m.kept.write(clientFile, chain, 0o644)); err != nil {
		return refusal{err}
	}
	m.client.Store(c)
	m.link.renew()
	return nil
}

// explain says what a refusal means to who joins.
func (m *Member) explain(err error) error {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	switch {
	case apierrors.IsUnauthorized(err):
		return refused("the server does not take the token with the id %s: it is wrong, has expired or was deleted; `skiff token create` on a server makes a new one", m.cfg.Token.ID)
	case errors.As(err, &unknown), errors.As(err, &name), errors.Is(err, errNode):
		return refused("https://%s shows the authority of the token's cluster, but a certificate that is not of it: somebody is between this box and the server", m.server)
	}
	return err
}

// fetchInfo reads what is to be known of the cluster, and keeps it.
func (m *Member) fetchInfo(ctx context.Context) error {
	clients, err := kubernetes.NewForConfig(m.RESTConfig())
	if err != nil {
		return err
	}
	cm, err := clients.CoreV1().ConfigMaps(clusterinfo.Namespace).Get(ctx, clusterinfo.Name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read what is to be known of the cluster: %w", err)
	}
	i, err := clusterinfo.FromConfigMap(cm)
	if err != nil {
		return errors.New(oneLine(err.Error()))
	}
	return m.learn(i)
}

// refresh looks for news of the cluster before a member starts, if a server
// answers soon. It returns false if that refuses the node's certificate.
func (m *Member) refresh(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	err := m.fetchInfo(ctx)
	if err != nil {
		m.log.Debug("starting with what is known of the cluster", "err", err)
	}
	if err == nil {
		m.deleted = m.nodeDeleted(ctx)
	}
	if m.refused = apierrors.IsUnauthorized(err); m.refused {
		m.client.Store(nil)
	}
	return !m.refused
}

// nodeDeleted tells whether the node's object is gone, as far as a server says so.
func (m *Member) nodeDeleted(ctx context.Context) bool {
	clients, err := kubernetes.NewForConfig(m.RESTConfig())
	if err == nil {
		_, err = clients.CoreV1().Nodes().Get(ctx, m.cfg.NodeName, metav1.GetOptions{})
	}
	return apierrors.IsNotFound(err)
}

// rejoin asks for the name of a node that was deleted once more, by the
// certificate that it has: whoever deleted it has freed the name. The error is
// that another box has it now; if nobody answers, the node starts as it would
// without a server.
func (m *Member) rejoin(ctx context.Context) error {
	if !m.deleted {
		return nil
	}
	err := m.requestClient(ctx, m.restConfig())
	if isRefusal(err) {
		return fmt.Errorf("join again, as the node was deleted: %w", err)
	}
	if err != nil {
		m.log.Debug("the name of the deleted node was not asked for", "err", err)
	}
	return nil
}

// hostPort is the server's address for dialling.
func hostPort(server string) (string, error) {
	u, err := url.Parse(server)
	if err != nil || u.Hostname() == "" {
		return "", fmt.Errorf("server: %q is not an address like https://HOST:6443", server)
	}
	port := u.Port()
	if port == "" {
		port = "6443"
	}
	return net.JoinHostPort(u.Hostname(), port), nil
}

// hostPorts leaves out what is no address.
func hostPorts(servers []string) (list []string) {
	for _, s := range servers {
		if at, err := hostPort(s); err == nil {
			list = append(list, at)
		}
	}
	return list
}

// restConfig is a client's over the link, known by nothing yet but the node's
// certificate.
func (m *Member) restConfig() *rest.Config {
	c := client.Remote("https://"+apiServerName, rest.TLSClientConfig{})
	c.Transport = m.link
	return c
}
