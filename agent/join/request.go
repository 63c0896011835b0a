package join

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
	certificatesclient "k8s.io/client-go/kubernetes/typed/certificates/v1"
	"k8s.io/client-go/util/cert"
)

const (
	nodesGroup = "system:nodes"
	nodePrefix = "system:node:"
	// answerTimeout bounds the wait for an answer to one request; then another is
	// made.
	answerTimeout = time.Minute
)

// request describes a certificate that the node asks for.
type request struct {
	node   string
	signer string
	usage  certificatesv1.KeyUsage
	ips    []netip.Addr // of a serving certificate
}

// clientRequest is for the certificate that the node shows to servers.
func clientRequest(node string) request {
	return request{node: node, signer: certificatesv1.KubeAPIServerClientKubeletSignerName, usage: certificatesv1.UsageClientAuth}
}

// servingRequest is for the certificate that the node's own API shows.
func servingRequest(node string, ips []netip.Addr) request {
	return request{node: node, signer: certificatesv1.KubeletServingSignerName, usage: certificatesv1.UsageServerAuth, ips: ips}
}

// object is the request as the API takes it. The signature proves that who asks
// has the key.
func (r request) object(key *ecdsa.PrivateKey) (*certificatesv1.CertificateSigningRequest, error) {
	tmpl := &x509.CertificateRequest{Subject: pkix.Name{CommonName: nodePrefix + r.node, Organization: []string{nodesGroup}}}
	if r.usage == certificatesv1.UsageServerAuth {
		tmpl.DNSNames = []string{r.node, "localhost"}
		tmpl.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
		for _, ip := range r.ips {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip.AsSlice())
		}
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, tmpl, key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate request: %w", err)
	}
	return &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "csr-"},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request:    pem.EncodeToMemory(&pem.Block{Type: cert.CertificateRequestBlockType, Bytes: der}),
			SignerName: r.signer,
			Usages:     []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, r.usage},
		},
	}, nil
}

// submit asks for the certificate and waits for the answer.
func (r request) submit(ctx context.Context, client kubernetes.Interface, key *ecdsa.PrivateKey) (chain []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	object, err := r.object(key)
	if err != nil {
		return nil, err
	}
	requests := client.CertificatesV1().CertificateSigningRequests()
	csr, err := requests.Create(ctx, object, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("ask for a certificate: %w", err)
	}
	for {
		chain, err := outcome(csr)
		if err != nil || chain != nil {
			return chain, err
		}
		if csr, err = next(ctx, requests, csr); err != nil {
			return nil, fmt.Errorf("wait for the certificate (request %s): %w", csr.Name, err)
		}
	}
}

// next waits until the request has changed.
func next(ctx context.Context, requests certificatesclient.CertificateSigningRequestInterface, csr *certificatesv1.CertificateSigningRequest) (*certificatesv1.CertificateSigningRequest, error) {
	w, err := requests.Watch(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector(metav1.ObjectNameField, csr.Name).String(), ResourceVersion: csr.ResourceVersion,
	})
	if err != nil {
		return csr, err
	}
	defer w.Stop()
	select {
	case <-ctx.Done():
		return csr, errors.New("nobody has answered it yet; kubectl get csr shows it")
	case event, ok := <-w.ResultChan():
		if !ok {
			// The watch ended, as they do: look, and go on from there.
			now, err := requests.Get(ctx, csr.Name, metav1.GetOptions{})
			if err != nil {
				return csr, err
			}
			return now, nil
		}
		if now, ok := event.Object.(*certificatesv1.CertificateSigningRequest); ok {
			return now, nil
		}
		return csr, apierrors.FromObject(event.Object)
	}
}

// outcome is the certificate, or why there is none; neither if that is open.
func outcome(csr *certificatesv1.CertificateSigningRequest) ([]byte, error) {
	for _, c := range csr.Status.Conditions {
		switch c.Type {
		case certificatesv1.CertificateDenied:
			return nil, refused("the server denied this node a certificate (%s): %s", c.Reason, oneLine(c.Message))
		case certificatesv1.CertificateFailed:
			return nil, fmt.Errorf("the server could not sign the node's certificate (%s): %s", c.Reason, oneLine(c.Message))
		}
	}
	if len(csr.Status.Certificate) > 0 {
		return csr.Status.Certificate, nil
	}
	return nil, nil
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
