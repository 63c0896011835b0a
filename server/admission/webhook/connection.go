package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const (
	// maxAnswer bounds what is read of an answer, in bytes. The objects that it
	// could hold are an eighth of it.
	maxAnswer = 16 << 20
	// maxShown is how much of an HTTP error clients see, in bytes.
	maxShown = 2048
	// idleTime is how long a connection waits for the next write.
	idleTime = 90 * time.Second
	// defaultPort of a webhook's service.
	defaultPort = 443
	// userAgent is upstream's: webhooks may know it.
	userAgent = "kube-apiserver-admission"
)

// connection is the way to a hook.
type connection struct {
	client *http.Client
	url    url.URL
}

// newConnection makes the way to a hook's URL or service. A service is reached at
// one of its endpoints; it shows a certificate for NAME.NAMESPACE.svc.
func newConnection(c *admissionv1.WebhookClientConfig, services Services) (*connection, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(c.CABundle) > 0 {
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(c.CABundle) {
			return nil, errors.New("caBundle has no certificate in it")
		}
	}
	// A set TLSNextProto keeps HTTP/2 away, which would send all to one endpoint.
	transport := &http.Transport{
		TLSClientConfig: conf, IdleConnTimeout: idleTime, MaxIdleConnsPerHost: 4, TLSHandshakeTimeout: 10 * time.Second,
		TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{},
	}
	// A redirect could lead anywhere.
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	s := c.Service
	switch {
	case s != nil:
		port := int32(defaultPort)
		if s.Port != nil {
			port = *s.Port
		}
		conf.ServerName = s.Name + "." + s.Namespace + ".svc"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return services.DialService(ctx, s.Namespace, s.Name, port)
		}
		u := url.URL{Scheme: "https", Host: net.JoinHostPort(conf.ServerName, strconv.Itoa(int(port)))}
		if s.Path != nil {
			u.Path = *s.Path
		}
		return &connection{client, u}, nil
	case c.URL == nil:
		return nil, errors.New("webhook configuration must have either service or URL")
	}
	u, err := url.Parse(*c.URL)
	if err != nil {
		return nil, fmt.Errorf("unparsable URL: %w", err)
	}
	transport.Proxy = http.ProxyFromEnvironment
	return &connection{client, *u}, nil
}

// post sends a review and reads the answer into out. The hook is told how long it
// may take.
func (c *connection) post(ctx context.Context, review, out any) error {
	body, err := json.Marshal(review)
	if err != nil {
		return fmt.Errorf("encode the review: %w", err)
	}
	u := c.url
	if deadline, ok := ctx.Deadline(); ok {
		u.RawQuery = "timeout=" + roundUp(time.Until(deadline)).String()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, */*")
	req.Header.Set("User-Agent", userAgent)
	resp, err := c.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return fmt.Errorf("read the answer: %w", err)
	case len(answer) > maxAnswer:
		return fmt.Errorf("the answer is longer than %d bytes", maxAnswer)
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		shown := strings.ToValidUTF8(string(answer[:min(len(answer), maxShown)]), "?")
		return apierrors.NewGenericServerResponse(resp.StatusCode, http.MethodPost, schema.GroupResource{}, "", shown, 0, true)
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("decode the answer: %w", err)
	}
	return nil
}

// roundUp rounds a time up to whole seconds.
func roundUp(d time.Duration) time.Duration {
	if whole := d.Truncate(time.Second); whole != d {
		return whole + time.Second
	}
	return d
}
