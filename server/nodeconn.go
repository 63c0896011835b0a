package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	corelisters "k8s.io/client-go/listers/core/v1"

	"skiff/server/pki"
	"skiff/server/registry/core"
)

// nodeConn reaches the agents of nodes at the address that their Node names, and
// proves itself by a certificate of its own. It implements core.NodeConn.
type nodeConn struct {
	nodes   corelisters.NodeLister
	checked http.RoundTripper
	// unchecked is for clients that ask for it (kubectl logs
	// --insecure-skip-tls-verify-backend).
	unchecked http.RoundTripper
	network   http.RoundTripper
}

func newNodeConn(nodes corelisters.NodeLister, p *pki.PKI, identity *pki.Certificate) *nodeConn {
	transport := func(roots *x509.CertPool, insecure bool) *http.Transport {
		return &http.Transport{
			// A set TLSNextProto keeps HTTP/2 away, which has no upgrades.
			TLSNextProto:    map[string]func(string, *tls.Conn) http.RoundTripper{},
			MaxIdleConns:    4,
			IdleConnTimeout: idleNodeConnection,
			TLSClientConfig: &tls.Config{
				MinVersion: tls.VersionTLS12, RootCAs: roots, InsecureSkipVerify: insecure,
				GetClientCertificate: identity.GetClientCertificate,
			},
		}
	}
	return &nodeConn{
		nodes:     nodes,
		checked:   transport(p.Server.Pool(), false),
		unchecked: transport(nil, true),
		network: &http.Transport{
			TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{},
			// Pods show whatever certificates they have; upstream does not check
			// them either.
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true},
			IdleConnTimeout: idleNodeConnection,
		},
	}
}

// Node implements core.NodeConn.
func (c *nodeConn) Node(_ context.Context, name string) (*core.NodeAddress, error) {
	node, err := c.nodes.Get(name)
	if err != nil {
		return nil, err
	}
	port := int(node.Status.DaemonEndpoints.KubeletEndpoint.Port)
	for _, kind := range []corev1.NodeAddressType{corev1.NodeInternalIP, corev1.NodeExternalIP, corev1.NodeHostName} {
		for _, a := range node.Status.Addresses {
			if a.Type == kind && port != 0 {
				return &core.NodeAddress{
					Scheme: "https", Host: net.JoinHostPort(a.Address, strconv.Itoa(port)),
					Transport: c.checked, Insecure: c.unchecked,
				}, nil
			}
		}
	}
	return nil, apierrors.NewServiceUnavailable(fmt.Sprintf("node %q has not told where its agent is", name))
}

// Network implements core.NodeConn.
func (c *nodeConn) Network() http.RoundTripper { return c.network }
