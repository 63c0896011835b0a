// Package csr is what the controllers that approve and that sign certificate
// requests share: how they come to a request, read it and answer it, and the rules
// of upstream's signers for nodes.
package csr

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	certificatesinformers "k8s.io/client-go/informers/certificates/v1"

	"skiff/server/controller"
)

// NodeUser is how the names of nodes' users begin, NodeGroup their group.
const (
	NodeUser  = "system:node:"
	NodeGroup = "system:nodes"
)

var (
	errOrganization = errors.New("subject organization is not system:nodes")
	errCommonName   = errors.New("subject common name does not begin with system:node:")
)

// Controller returns one whose keys are the requests' names, and which calls
// reconcile with each request that is there. The request is the cache's.
func Controller(name string, csrs certificatesinformers.CertificateSigningRequestInformer,
	reconcile func(context.Context, *certificatesv1.CertificateSigningRequest) (controller.Result, error)) controller.Controller {
	lister := csrs.Lister()
	return controller.Controller{
		Name:    name,
		Sources: []controller.Source{controller.For(csrs.Informer())},
		Reconciler: controller.Func(func(ctx context.Context, key string) (controller.Result, error) {
			request, err := lister.Get(key)
			if apierrors.IsNotFound(err) {
				return controller.Result{}, nil
			}
			if err != nil {
				return controller.Result{}, err
			}
			return reconcile(ctx, request)
		}),
	}
}

// Answer adds a condition to a request.
func Answer(r *certificatesv1.CertificateSigningRequest, t certificatesv1.RequestConditionType, reason, message string, at time.Time) {
	now := metav1.NewTime(at)
	r.Status.Conditions = append(r.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
		Type: t, Status: corev1.ConditionTrue, Reason: reason, Message: message, LastUpdateTime: now, LastTransitionTime: now,
	})
}

// Has tells whether a request has a condition.
func Has(r *certificatesv1.CertificateSigningRequest, t certificatesv1.RequestConditionType) bool {
	return slices.ContainsFunc(r.Status.Conditions, func(c certificatesv1.CertificateSigningRequestCondition) bool { return c.Type == t })
}

// Parse reads the request's PEM block, and checks that it is signed with its own
// key.
func Parse(r *certificatesv1.CertificateSigningRequest) (*x509.CertificateRequest, error) {
	block, _ := pem.Decode(r.Spec.Request)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, errors.New("PEM block type must be CERTIFICATE REQUEST")
	}
	req, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, err
	}
	return req, req.CheckSignature()
}

// CheckKubeletClient holds the rules of kubernetes.io/kube-apiserver-client-kubelet.
func CheckKubeletClient(req *x509.CertificateRequest, u []certificatesv1.KeyUsage) error {
	switch {
	case !slices.Equal(req.Subject.Organization, []string{NodeGroup}):
		return errOrganization
	case len(req.DNSNames) > 0:
		return errors.New("DNS subjectAltNames are not allowed")
	case len(req.EmailAddresses) > 0:
		return errors.New("Email subjectAltNames are not allowed") //nolint:staticcheck // upstream's text
	case len(req.IPAddresses) > 0:
		return errors.New("IP subjectAltNames are not allowed")
	case len(req.URIs) > 0:
		return errors.New("URI subjectAltNames are not allowed")
	case !strings.HasPrefix(req.Subject.CommonName, NodeUser):
		return errCommonName
	}
	return exactly(u, certificatesv1.UsageClientAuth)
}

// CheckKubeletServing holds the rules of kubernetes.io/kubelet-serving.
func CheckKubeletServing(req *x509.CertificateRequest, u []certificatesv1.KeyUsage) error {
	switch {
	case !slices.Equal(req.Subject.Organization, []string{NodeGroup}):
		return errOrganization
	case len(req.DNSNames) == 0 && len(req.IPAddresses) == 0:
		return errors.New("DNS or IP subjectAltName is required")
	case len(req.EmailAddresses) > 0:
		return errors.New("Email subjectAltNames are not allowed") //nolint:staticcheck // upstream's text
	case len(req.URIs) > 0:
		return errors.New("URI subjectAltNames are not allowed")
	}
	if err := exactly(u, certificatesv1.UsageServerAuth); err != nil {
		return err
	}
	if !strings.HasPrefix(req.Subject.CommonName, NodeUser) {
		return errCommonName
	}
	return nil
}

// exactly checks that the usages are auth, digital signature and, where the key
// is for RSA, key encipherment.
func exactly(have []certificatesv1.KeyUsage, auth certificatesv1.KeyUsage) error {
	want := []certificatesv1.KeyUsage{auth, certificatesv1.UsageDigitalSignature, certificatesv1.UsageKeyEncipherment}
	slices.Sort(want)
	got := slices.Clone(have)
	slices.Sort(got)
	got = slices.Compact(got)
	without := slices.DeleteFunc(slices.Clone(want), func(u certificatesv1.KeyUsage) bool { return u == certificatesv1.UsageKeyEncipherment })
	if !slices.Equal(got, want) && !slices.Equal(got, without) {
		return fmt.Errorf("usages did not match %v", want)
	}
	return nil
}
