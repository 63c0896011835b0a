package join

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"k8s.io/client-go/util/cert"

	"skiff/server/pki"
)

// authoritiesPath is where a server shows its authority to everybody.
const authoritiesPath = "/cacerts"

// maxAuthorities bounds what is read from a server that is not known yet.
const maxAuthorities = 1 << 20

// fetchAuthority asks a server for its authority and returns the one that the
// token names.
func fetchAuthority(ctx context.Context, dial dialer, server string, token pki.Token, clock *serverClock) (*x509.Certificate, error) {
	certs, err := fetchAuthorities(ctx, dial, server, clock)
	if err != nil {
		return nil, err
	}
	return ofToken(certs, server, token)
}

// fetchAuthorities asks a server for what it is to be known by. Whoever answers is
// not known, and is told nothing.
func fetchAuthorities(ctx context.Context, dial dialer, server string, clock *serverClock) ([]*x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*dialTimeout)
	defer cancel()
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(_ context.Context, network, _ string) (net.Conn, error) {
			conn, err := dial(ctx, network, server)
			if err == nil {
				// The transport lets a handshake go on that nobody waits for any more:
				// with one who never answers, for good.
				context.AfterFunc(ctx, func() { _ = conn.Close() })
			}
			return conn, err
		},
		// What comes is compared with the hash in the token.
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true, ServerName: apiServerName},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+server+authoritiesPath, nil)
	if err != nil {
		return nil, err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAuthorities))
	if err != nil {
		return nil, fmt.Errorf("read its authority: %w", err)
	}
	clock.note(resp.Header)
	switch {
	case resp.StatusCode == http.StatusServiceUnavailable || resp.StatusCode == http.StatusTooManyRequests:
		return nil, fmt.Errorf("ask for its authority: %s", resp.Status)
	case resp.StatusCode != http.StatusOK:
		return nil, refused("https://%s is no skiff server, it answers %s with %s; check --server", server, authoritiesPath, resp.Status)
	}
	certs, err := cert.ParseCertsPEM(body)
	if err != nil {
		return nil, refused("https://%s is no skiff server, its answer to %s holds no certificate; check --server", server, authoritiesPath)
	}
	return certs, nil
}

// ofToken returns the certificate that the token was made for.
func ofToken(certs []*x509.Certificate, server string, token pki.Token) (*x509.Certificate, error) {
	var errs []error
	for _, c := range certs {
		err := token.VerifyAuthority(c)
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
	}
	if len(errs) > 1 {
		errs = []error{errors.New("none of the server's authorities has the hash that the token says: this is not the cluster that the token was made for")}
	}
	return nil, refused("https://%s: %w; check --server, and take the token from that cluster's server", server, errs[0])
}
