// Package certificates approves and signs the certificate requests that a cluster
// approves by itself, signs those of its own signers that others approved, and
// removes old requests.
package certificates

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	certificateslisters "k8s.io/client-go/listers/certificates/v1"
	"k8s.io/utils/clock"

	"skiff/server/controller"
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
	csrs := f.Certificates().V1().CertificateSigningRequests()
	return controller.Controller{
		Name: "certificate-signing", Reconciler: &reconciler{Config: cfg, client: client, clock: clk, csrs: csrs.Lister()}, Workers: 2,
		Sources: []controller.Source{controller.For(csrs.Informer())},
	}
}

type reconciler struct {
	Config
	client kubernetes.Interface
	clock  clock.PassiveClock
	csrs   certificateslisters.CertificateSigningRequestLister
}

// Reconcile implements controller.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, key string) (controller.Result, error) {
	cached, err := r.csrs.Get(key)
	if apierrors.IsNotFound(err) {
		return controller.Result{}, nil
	}
	if err != nil {
		return controller.Result{}, err
	}
	left, ok := r.expires(cached)
	if ok && left <= 0 {
		err := r.client.CertificatesV1().CertificateSigningRequests().Delete(ctx, key, *metav1.NewPreconditionDeleteOptions(string(cached.UID)))
		if apierrors.IsNotFound(err) {
			err = nil
		}
		return controller.Result{}, err
	}
	csr := cached.DeepCopy()
	switch {
	case len(csr.Status.Certificate) > 0 || has(csr, certificatesv1.CertificateDenied) || has(csr, certificatesv1.CertificateFailed):
	case has(csr, certificatesv1.CertificateApproved):
		err = r.sign(ctx, csr)
	default:
		err = r.approve(ctx, csr)
	}
	return controller.Result{RequeueAfter: max(left, 0)}, err
}

func has(csr *certificatesv1.CertificateSigningRequest, t certificatesv1.RequestConditionType) bool {
	return slices.ContainsFunc(csr.Status.Conditions, func(c certificatesv1.CertificateSigningRequestCondition) bool { return c.Type == t })
}

// parse reads the request's PEM block.
func parse(csr *certificatesv1.CertificateSigningRequest) (*x509.CertificateRequest, error) {
	block, _ := pem.Decode(csr.Spec.Request)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, errors.New("PEM block type must be CERTIFICATE REQUEST")
	}
	req, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, err
	}
	return req, req.CheckSignature()
}

// approve approves a node's client certificate if who asks may ask for it.
func (r *reconciler) approve(ctx context.Context, csr *certificatesv1.CertificateSigningRequest) error {
	if csr.Spec.SignerName != certificatesv1.KubeAPIServerClientKubeletSignerName {
		return nil
	}
	req, err := parse(csr)
	if err != nil || checkKubeletClient(req, csr.Spec.Usages) != nil {
		return nil //nolint:nilerr // not one of those that are approved by themselves
	}
	for _, try := range []struct{ sub, message string }{
		{"selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview."},
		{"nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview."},
	} {
		if try.sub == "selfnodeclient" && csr.Spec.Username != req.Subject.CommonName {
			continue
		}
		ok, err := r.allowed(ctx, csr, try.sub)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		now := metav1.NewTime(r.clock.Now())
		csr.Status.Conditions = append(csr.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
			Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "AutoApproved",
			Message: try.message, LastUpdateTime: now, LastTransitionTime: now,
		})
		if _, err := r.client.CertificatesV1().CertificateSigningRequests().UpdateApproval(ctx, csr.Name, csr, metav1.UpdateOptions{}); err != nil {
			return fmt.Errorf("approve certificate request %s: %w", csr.Name, err)
		}
		return nil
	}
	return nil
}

func (r *reconciler) allowed(ctx context.Context, csr *certificatesv1.CertificateSigningRequest, sub string) (bool, error) {
	extra := map[string]authorizationv1.ExtraValue{}
	for k, v := range csr.Spec.Extra {
		extra[k] = authorizationv1.ExtraValue(v)
	}
	sar, err := r.client.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User: csr.Spec.Username, UID: csr.Spec.UID, Groups: csr.Spec.Groups, Extra: extra,
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Group: "certificates.k8s.io", Resource: "certificatesigningrequests", Verb: "create", Subresource: sub, Version: "*",
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return false, fmt.Errorf("review access for certificate request %s: %w", csr.Name, err)
	}
	return sar.Status.Allowed, nil
}

// sign issues the certificate of an approved request for one of our signers, or
// marks it as failed if it breaks the signer's rules.
func (r *reconciler) sign(ctx context.Context, csr *certificatesv1.CertificateSigningRequest) error {
	signer, check := r.signer(csr.Spec.SignerName)
	if signer == nil {
		return nil
	}
	req, err := parse(csr)
	if err != nil {
		return fmt.Errorf("unable to parse csr %q: %w", csr.Name, err)
	}
	if err := check(req, csr.Spec.Usages); err != nil {
		now := metav1.NewTime(r.clock.Now())
		csr.Status.Conditions = append(csr.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
			Type: certificatesv1.CertificateFailed, Status: corev1.ConditionTrue, Reason: "SignerValidationFailure",
			Message: err.Error(), LastUpdateTime: now, LastTransitionTime: now,
		})
	} else {
		life := r.Life
		if s := csr.Spec.ExpirationSeconds; s != nil {
			life = min(life, max(time.Duration(*s)*time.Second, 10*time.Minute))
		}
		usage, ext := usages(csr.Spec.Usages)
		der, err := signer.Sign(&x509.Certificate{
			Subject: req.Subject, DNSNames: req.DNSNames, IPAddresses: req.IPAddresses, EmailAddresses: req.EmailAddresses, URIs: req.URIs,
			KeyUsage: usage, ExtKeyUsage: ext,
		}, req.PublicKey, r.clock.Now(), life)
		if err != nil {
			return fmt.Errorf("error auto signing csr: %w", err)
		}
		csr.Status.Certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	if _, err := r.client.CertificatesV1().CertificateSigningRequests().UpdateStatus(ctx, csr, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("error updating signature for csr: %w", err)
	}
	return nil
}

type rule func(*x509.CertificateRequest, []certificatesv1.KeyUsage) error

func (r *reconciler) signer(name string) (Signer, rule) {
	switch name {
	case certificatesv1.KubeAPIServerClientKubeletSignerName:
		return r.Client, checkKubeletClient
	case certificatesv1.KubeAPIServerClientSignerName:
		return r.Client, checkClient
	case certificatesv1.KubeletServingSignerName:
		return r.Serving, checkKubeletServing
	case legacySigner:
		return r.Client, func(*x509.CertificateRequest, []certificatesv1.KeyUsage) error { return nil }
	}
	return nil, nil
}

// expires returns how long a request is still kept.
func (r *reconciler) expires(csr *certificatesv1.CertificateSigningRequest) (time.Duration, bool) {
	now := r.clock.Now()
	if len(csr.Status.Conditions) == 0 {
		return csr.CreationTimestamp.Add(24 * time.Hour).Sub(now), true
	}
	var first time.Duration
	found := false
	for _, c := range csr.Status.Conditions {
		at := c.LastUpdateTime.Time
		if at.IsZero() {
			at = csr.CreationTimestamp.Time
		}
		if left := at.Add(time.Hour).Sub(now); !found || left < first {
			first, found = left, true
		}
	}
	return first, found
}
