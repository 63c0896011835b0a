// Package certificates signs the certificate requests of the cluster's own signers
// that were approved (those of nodes by package nodeapproval), and removes old
// requests.
package certificates

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"

	"skiff/server/controller"
	"skiff/server/controller/csr"
)

// legacySigner has no rules about what it signs; only its approver has.
const legacySigner = "kubernetes.io/legacy-unknown"

// Signer signs a certificate for a public key (pki.Authority).
type Signer interface {
	// Sign sets serial number, validity and signer, and returns the DER form.
	Sign(tmpl *x509.Certificate, pub crypto.PublicKey, now time.Time, life time.Duration) ([]byte, error)
}

// Config is what is signed with.
type Config struct {
	// Client signs what is shown to the API server, Serving what kubelets show.
	Client, Serving Signer
	// Life is that of certificates at most; 0 means a year.
	Life time.Duration
}

// New returns the controller; its keys are the requests' names.
func New(client kubernetes.Interface, f informers.SharedInformerFactory, clk clock.PassiveClock, cfg Config) controller.Controller {
	if cfg.Life == 0 {
		cfg.Life = 365 * 24 * time.Hour
	}
	r := &reconciler{Config: cfg, client: client, clock: clk}
	c := csr.Controller("certificate-signing", f.Certificates().V1().CertificateSigningRequests(), r.reconcile)
	c.Workers = 2
	return c
}

type reconciler struct {
	Config
	client kubernetes.Interface
	clock  clock.PassiveClock
}

func (r *reconciler) reconcile(ctx context.Context, cached *certificatesv1.CertificateSigningRequest) (controller.Result, error) {
	left, ok := r.expires(cached)
	if ok && left <= 0 {
		err := r.client.CertificatesV1().CertificateSigningRequests().Delete(ctx, cached.Name, *metav1.NewPreconditionDeleteOptions(string(cached.UID)))
		if apierrors.IsNotFound(err) {
			err = nil
		}
		return controller.Result{}, err
	}
	var err error
	if csr.Has(cached, certificatesv1.CertificateApproved) && len(cached.Status.Certificate) == 0 &&
		!csr.Has(cached, certificatesv1.CertificateDenied) && !csr.Has(cached, certificatesv1.CertificateFailed) {
		err = r.sign(ctx, cached.DeepCopy())
	}
	return controller.Result{RequeueAfter: max(left, 0)}, err
}

// sign issues the certificate of an approved request for one of our signers, or
// marks it as failed if it breaks the signer's rules.
func (r *reconciler) sign(ctx context.Context, request *certificatesv1.CertificateSigningRequest) error {
	signer, check := r.signer(request.Spec.SignerName)
	if signer == nil {
		return nil
	}
	req, err := csr.Parse(request)
	if err != nil {
		return fmt.Errorf("unable to parse csr %q: %w", request.Name, err)
	}
	if err := check(req, request.Spec.Usages); err != nil {
		csr.Answer(request, certificatesv1.CertificateFailed, "SignerValidationFailure", err.Error(), r.clock.Now())
	} else {
		life := r.Life
		if s := request.Spec.ExpirationSeconds; s != nil {
			life = min(life, max(time.Duration(*s)*time.Second, 10*time.Minute))
		}
		usage, ext := usages(request.Spec.Usages)
		der, err := signer.Sign(&x509.Certificate{
			Subject: req.Subject, DNSNames: req.DNSNames, IPAddresses: req.IPAddresses, EmailAddresses: req.EmailAddresses, URIs: req.URIs,
			KeyUsage: usage, ExtKeyUsage: ext,
		}, req.PublicKey, r.clock.Now(), life)
		if err != nil {
			return fmt.Errorf("error auto signing csr: %w", err)
		}
		request.Status.Certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	if _, err := r.client.CertificatesV1().CertificateSigningRequests().UpdateStatus(ctx, request, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("error updating signature for csr: %w", err)
	}
	return nil
}

type rule func(*x509.CertificateRequest, []certificatesv1.KeyUsage) error

func (r *reconciler) signer(name string) (Signer, rule) {
	switch name {
	case certificatesv1.KubeAPIServerClientKubeletSignerName:
		return r.Client, csr.CheckKubeletClient
	case certificatesv1.KubeAPIServerClientSignerName:
		return r.Client, checkClient
	case certificatesv1.KubeletServingSignerName:
		return r.Serving, csr.CheckKubeletServing
	case legacySigner:
		return r.Client, func(*x509.CertificateRequest, []certificatesv1.KeyUsage) error { return nil }
	}
	return nil, nil
}

// expires returns how long a request is still kept.
func (r *reconciler) expires(request *certificatesv1.CertificateSigningRequest) (time.Duration, bool) {
	now := r.clock.Now()
	if len(request.Status.Conditions) == 0 {
		return request.CreationTimestamp.Add(24 * time.Hour).Sub(now), true
	}
	var first time.Duration
	found := false
	for _, c := range request.Status.Conditions {
		at := c.LastUpdateTime.Time
		if at.IsZero() {
			at = request.CreationTimestamp.Time
		}
		if left := at.Add(time.Hour).Sub(now); !found || left < first {
			first, found = left, true
		}
	}
	return first, found
}
