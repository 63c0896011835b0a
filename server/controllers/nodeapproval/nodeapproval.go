// Package nodeapproval decides about the certificates that nodes ask for.
//
// A node has one key for as long as its data folder lives. The first box that
// joins under a name has its key recorded; from then on, certificates in that name
// are for this key alone, until the Node is deleted. So a second box cannot take a
// running node's name, and a box that comes back with its data needs no token.
//
//	token ─► client certificate ─► system:node:NAME ─► serving certificate
//	         name free, or key                          own name, own addresses
//	         as recorded
//
// Requests that are none of these are left to others. What is approved here is
// signed by package certificates.
package nodeapproval

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/utils/clock"

	"skiff/server/controller"
	"skiff/server/controller/csr"
	"skiff/server/pki"
)

// The reasons of a Denied condition.
const (
	// ReasonNameTaken tells that another box has the name.
	ReasonNameTaken = "NodeNameTaken"
	// ReasonNames tells that a serving certificate is asked for with names or
	// addresses that are not the node's.
	ReasonNames = "NodeNamesRefused"
)

// Config says what no node may be called, or have as its address.
type Config struct {
	// ServerNames returns the names and addresses of the API servers; a node with
	// a certificate for one could pass for them.
	ServerNames func() pki.Names
	// ServiceCIDRs and ClusterCIDRs are the ranges of services and pods.
	ServiceCIDRs, ClusterCIDRs []netip.Prefix
}

// New returns the controller that approves and denies; its keys are the requests'
// names.
func New(client kubernetes.Interface, f informers.SharedInformerFactory, clk clock.PassiveClock, cfg Config) controller.Controller {
	r := &reconciler{
		Config: cfg, client: client, clock: clk, nodes: f.Core().V1().Nodes().Lister(),
		keys: records{client: client, clock: clk},
	}
	return csr.Controller("node-approval", f.Certificates().V1().CertificateSigningRequests(), r.reconcile)
}

type reconciler struct {
	Config
	client kubernetes.Interface
	clock  clock.PassiveClock
	nodes  corelisters.NodeLister
	keys   records
}

// verdict is what becomes of a request. The zero verdict leaves it to others.
type verdict struct {
	condition certificatesv1.RequestConditionType
	reason    string
	message   string
}

func approved(message string) verdict {
	return verdict{certificatesv1.CertificateApproved, "AutoApproved", message}
}

func denied(reason, format string, args ...any) verdict {
	return verdict{certificatesv1.CertificateDenied, reason, fmt.Sprintf(format, args...)}
}

func (r *reconciler) reconcile(ctx context.Context, cached *certificatesv1.CertificateSigningRequest) (controller.Result, error) {
	if len(cached.Status.Certificate) > 0 || len(cached.Status.Conditions) > 0 {
		return controller.Result{}, nil
	}
	v, err := r.decide(ctx, cached)
	if err != nil {
		return controller.Result{}, fmt.Errorf("decide about certificate request %s: %w", cached.Name, err)
	}
	if v == (verdict{}) {
		return controller.Result{}, nil
	}
	request := cached.DeepCopy()
	csr.Answer(request, v.condition, v.reason, v.message, r.clock.Now())
	if _, err := r.client.CertificatesV1().CertificateSigningRequests().UpdateApproval(ctx, request.Name, request, metav1.UpdateOptions{}); err != nil {
		return controller.Result{}, fmt.Errorf("answer certificate request %s: %w", request.Name, err)
	}
	return controller.Result{}, nil
}

func (r *reconciler) decide(ctx context.Context, request *certificatesv1.CertificateSigningRequest) (verdict, error) {
	req, err := csr.Parse(request)
	if err != nil {
		return verdict{}, nil //nolint:nilerr // validation lets no such request in
	}
	switch request.Spec.SignerName {
	case certificatesv1.KubeAPIServerClientKubeletSignerName:
		if csr.CheckKubeletClient(req, request.Spec.Usages) == nil {
			return r.clientAuth(ctx, request, req)
		}
	case certificatesv1.KubeletServingSignerName:
		// A serving certificate is for nobody but the node itself.
		own := request.Spec.Username == req.Subject.CommonName && slices.Contains(request.Spec.Groups, csr.NodeGroup)
		if own && csr.CheckKubeletServing(req, request.Spec.Usages) == nil {
			return r.serving(ctx, req)
		}
	}
	return verdict{}, nil
}

// clientAuth decides about a client certificate, by upstream's permissions: who may
// have one in its own name, and who in any.
func (r *reconciler) clientAuth(ctx context.Context, request *certificatesv1.CertificateSigningRequest, req *x509.CertificateRequest) (verdict, error) {
	renewal := request.Spec.Username == req.Subject.CommonName
	permission := "nodeclient"
	if renewal {
		permission = "selfnodeclient"
	}
	ok, err := r.allowed(ctx, request, permission)
	if err != nil || !ok {
		return verdict{}, err
	}
	if v, err := r.claim(ctx, req, renewal); err != nil || v != (verdict{}) {
		return v, err
	}
	if renewal {
		return approved("The node renews its client certificate."), nil
	}
	return approved("The node's name is free, or its own."), nil
}

// claim returns the zero verdict if the name is that of the request's key.
func (r *reconciler) claim(ctx context.Context, req *x509.CertificateRequest, renewal bool) (verdict, error) {
	name := strings.TrimPrefix(req.Subject.CommonName, csr.NodeUser)
	if why := r.reserved(name); why != "" {
		return denied(ReasonNameTaken, "%s, choose another --node-name", why), nil
	}
	why, err := r.keys.claim(ctx, name, req.PublicKey, renewal)
	if err != nil || why == "" {
		return verdict{}, err
	}
	return denied(ReasonNameTaken, "%s", why), nil
}
