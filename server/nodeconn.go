package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	corelisters "k8s.io/client-go/listers/core/v1"

	"skiff/server/pki"
	"skiff/server/registry/core"
)

// nodeConn reaches nodes and their pods: through the tunnel of the node where it
// has one, else at the address. To a node's agent it proves itself by a
// certificate of its own, and the agent proves to be that node's, whatever the way
// is. It implements core.NodeConn.
type nodeConn struct {
	nodes    corelisters.NodeLister
	tunnels  tunnels
	roots    *x509.CertPool
	identity *pki.Certificate

	mu   sync.Mutex
	ways map[string]*nodeWays
}

// nodeWays are the ways to one node. Each node has its own, as connections are kept
// by address, and behind NAT two nodes may have the same.
type nodeWays struct {
	checked *http.Transport
	// unchecked is for clients that ask for it (kubectl logs
	// --insecure-skip-tls-verify-backend).
	unchecked *http.Transport
	network   *http.Transport
}

// maxNodeWays bounds those that are kept. They are made again when they are needed.
const maxNodeWays = 256

func newNodeConn(nodes corelisters.NodeLister, p *pki.PKI, identity *pki.Certificate, t tunnels) *nodeConn {
	return &nodeConn{nodes: nodes, tunnels: t, roots: p.Server.Pool(), identity: identity, ways: map[string]*nodeWays{}}
}

// to returns the ways to a node; "" is wherever an address leads to.
func (c *nodeConn) to(node string) *nodeWays {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := c.ways[node]; w != nil {
		return w
	}
	if len(c.ways) >= maxNodeWays {
		c.forget()
	}
	w := c.newWays(node)
	c.ways[node] = w
	return w
}

// forget drops all ways. Requests under way finish.
func (c *nodeConn) forget() {
	for _, w := range c.ways {
		w.checked.CloseIdleConnections()
		w.unchecked.CloseIdleConnections()
		w.network.CloseIdleConnections()
	}
	clear(c.ways)
}

func (c *nodeConn) newWays(node string) *nodeWays {
	api := func(ctx context.Context, _, address string) (net.Conn, error) { return c.dialAPI(ctx, node, address) }
	network := func(ctx context.Context, _, address string) (net.Conn, error) {
		return c.dialNetwork(ctx, node, address)
	}
	return &nodeWays{
		checked: nodeTransport(api, &tls.Config{
			MinVersion: tls.VersionTLS12, RootCAs: c.roots, ServerName: node, GetClientCertificate: c.identity.GetClientCertificate,
		}),
		unchecked: nodeTransport(api, &tls.Config{
			MinVersion: tls.VersionTLS12, InsecureSkipVerify: true, GetClientCertificate: c.identity.GetClientCertificate,
		}),
		// Pods show whatever certificates they have; upstream does not check them
		// either.
		network: nodeTransport(network, &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}),
	}
}

func nodeTransport(dial func(ctx context.Context, network, address string) (net.Conn, error), conf *tls.Config) *http.Transport {
	return &http.Transport{
		DialContext: dial,
		// A set TLSNextProto keeps HTTP/2 away, which has no upgrades.
		TLSNextProto:    map[string]func(string, *tls.Conn) http.RoundTripper{},
		TLSClientConfig: conf,
		MaxIdleConns:    2,
		IdleConnTimeout: idleNodeConnection,
		// Who waits for a node that does not answer is told.
		TLSHandshakeTimeout: nodeDialTime,
	}
}

// Node implements core.NodeConn.
func (c *nodeConn) Node(_ context.Context, name string) (*core.NodeAddress, error) {
	node, err := c.nodes.Get(name)
	if err != nil {
		return nil, err
	}
	if c.tunnels.Lost(name) {
		return nil, notConnected(name)
	}
	port := int(node.Status.DaemonEndpoints.KubeletEndpoint.Port)
	for _, kind := range []corev1.NodeAddressType{corev1.NodeInternalIP, corev1.NodeExternalIP, corev1.NodeHostName} {
		for _, a := range node.Status.Addresses {
			if a.Type == kind && port != 0 {
				w := c.to(name)
				return &core.NodeAddress{
					Scheme: "https", Host: net.JoinHostPort(a.Address, strconv.Itoa(port)),
					Transport: w.checked, Insecure: w.unchecked,
				}, nil
			}
		}
	}
	return nil, apierrors.NewServiceUnavailable(fmt.Sprintf("node %q has not told where its agent is", name))
}

// Network implements core.NodeConn.
func (c *nodeConn) Network(node string) http.RoundTripper { return c.to(node).network }
