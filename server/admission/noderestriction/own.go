package noderestriction

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/diff"

	"skiff/server/admission"
)

// claims lets a node report the progress of a resize, and nothing else.
func (p *Plugin) claims(_ context.Context, w write) error {
	if w.Subresource != "status" {
		return w.refuse("may only update PVC status")
	}
	if w.Operation != admission.Update {
		return w.refuse("unexpected operation %q", w.Operation)
	}
	old, ok := w.OldObject.(*corev1.PersistentVolumeClaim)
	if !ok {
		return w.unexpectedType(w.OldObject)
	}
	claim, ok := w.Object.(*corev1.PersistentVolumeClaim)
	if !ok {
		return w.unexpectedType(w.Object)
	}
	a, b := withoutProgress(old), withoutProgress(claim)
	if !equality.Semantic.DeepEqual(a, b) {
		return w.refuse("node %q is not allowed to update fields other than status.quantity and status.conditions: %v", w.node, diff.Diff(a, b))
	}
	return nil
}

func withoutProgress(c *corev1.PersistentVolumeClaim) *corev1.PersistentVolumeClaim {
	c = c.DeepCopy()
	c.ResourceVersion, c.ManagedFields = "", nil
	c.Status.Capacity, c.Status.Conditions = nil, nil
	c.Status.AllocatedResourceStatuses, c.Status.AllocatedResources = nil, nil
	return c
}

func (p *Plugin) leases(_ context.Context, w write) error {
	if w.Namespace != corev1.NamespaceNodeLease {
		return w.refuse("can only access leases in the %q system namespace", corev1.NamespaceNodeLease)
	}
	if w.ObjectName() != w.node {
		return w.refuse("can only access node lease with the same name as the requesting node")
	}
	return nil
}

func (p *Plugin) csiNodes(_ context.Context, w write) error {
	if w.ObjectName() != w.node {
		return w.refuse("can only access CSINode with the same name as the requesting node")
	}
	if w.Subresource == "status" {
		return w.refuse("CSIVolumeHealth feature gate is disabled")
	}
	return nil
}

// resourceSlices looks at the content, which the authorizer does not see; on delete
// because of deletecollection.
func (p *Plugin) resourceSlices(_ context.Context, w write) error {
	obj, verb := w.Object, "create"
	switch w.Operation {
	case admission.Create:
	case admission.Delete:
		obj, verb = w.OldObject, "delete"
	default:
		return nil
	}
	slice, ok := obj.(*resourcev1.ResourceSlice)
	if !ok {
		return w.unexpectedType(obj)
	}
	if slice.Spec.NodeName == nil || *slice.Spec.NodeName != w.node {
		return w.refuse("can only %s ResourceSlice with the same NodeName as the requesting node", verb)
	}
	return nil
}

// signingRequests lets a node ask for certificates in its own name only.
func (p *Plugin) signingRequests(_ context.Context, w write) error {
	if w.Operation != admission.Create {
		return nil
	}
	csr, ok := w.Object.(*certificatesv1.CertificateSigningRequest)
	if !ok {
		return w.unexpectedType(w.Object)
	}
	if csr.Spec.SignerName != certificatesv1.KubeletServingSignerName && csr.Spec.SignerName != certificatesv1.KubeAPIServerClientKubeletSignerName {
		return nil
	}
	req, err := parseRequest(csr.Spec.Request)
	if err != nil {
		return w.Forbidden(fmt.Errorf("unable to parse csr: %w", err))
	}
	if name := "system:node:" + w.node; req.Subject.CommonName != name {
		return w.refuse("can only create a node CSR with CN=%s", name)
	}
	return nil
}

func parseRequest(data []byte) (*x509.CertificateRequest, error) {
	b, _ := pem.Decode(data)
	if b == nil || b.Type != "CERTIFICATE REQUEST" {
		return nil, errors.New("PEM block type must be CERTIFICATE REQUEST")
	}
	return x509.ParseCertificateRequest(b.Bytes)
}
