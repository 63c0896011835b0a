package noderestriction

import (
	"context"
	"errors"
	"fmt"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"skiff/server/admission"
)

// tokens lets a node make tokens that are bound to its pods, for audiences that
// these name.
func (p *Plugin) tokens(ctx context.Context, w write) error {
	if w.Operation != admission.Create || w.Subresource != "token" {
		return nil
	}
	req, ok := w.Object.(*authenticationv1.TokenRequest)
	if !ok {
		return w.unexpectedType(w.Object)
	}
	ref := req.Spec.BoundObjectRef
	if ref == nil || ref.APIVersion != "v1" || ref.Kind != "Pod" || ref.Name == "" {
		return w.refuse("node requested token not bound to a pod")
	}
	if ref.UID == "" {
		return w.refuse("node requested token with a pod binding without a uid")
	}
	pod, err := p.Pods.Pods(w.Namespace).Get(ref.Name)
	switch {
	case apierrors.IsNotFound(err):
		return err
	case err != nil:
		return w.Forbidden(err)
	case ref.UID != pod.UID:
		return w.refuse("the UID in the bound object reference (%s) does not match the UID in record. The object might have been deleted and then recreated", ref.UID)
	case pod.Spec.NodeName != w.node:
		return w.refuse("node requested token bound to a pod scheduled on a different node")
	}
	if err := p.checkAudience(ctx, w, req, pod); err != nil {
		return w.Forbidden(err)
	}
	return nil
}

func (p *Plugin) checkAudience(ctx context.Context, w write, req *authenticationv1.TokenRequest, pod *corev1.Pod) error {
	audience := ""
	switch len(req.Spec.Audiences) {
	case 0:
	case 1:
		audience = req.Spec.Audiences[0]
	default:
		return errors.New("node may only request 0 or 1 audiences")
	}
	found, err := p.podNamesAudience(ctx, pod, audience)
	if err != nil {
		return fmt.Errorf("error validating audience %q: %w", audience, err)
	}
	if found {
		return nil
	}
	allowed, err := p.exception(ctx, w, "request-serviceaccounts-token-audience", audience, w.Name)
	switch {
	case allowed:
		return nil
	case err != nil:
		return fmt.Errorf("error authorizing %s to request tokens for audience %q: %w", w.User.GetName(), audience, err)
	}
	return fmt.Errorf("%s is not authorized to request tokens for audience %q", w.User.GetName(), audience)
}

// exception asks whether a rule allows the node what its pods do not call for.
func (p *Plugin) exception(ctx context.Context, w write, verb, resource, name string) (bool, error) {
	decision, _, err := p.Authorizer.Authorize(ctx, authorizer.AttributesRecord{
		User: w.User, Verb: verb, APIGroup: w.Resource.Group, APIVersion: w.Resource.Version,
		Resource: resource, Namespace: w.Namespace, Name: name, ResourceRequest: true,
	})
	return decision == authorizer.DecisionAllow, err
}

// podNamesAudience tells whether a projected volume of the pod, or the CSI driver of
// one, wants tokens for the audience.
func (p *Plugin) podNamesAudience(ctx context.Context, pod *corev1.Pod, audience string) (bool, error) {
	var errs []error
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if v.Projected != nil {
			for _, s := range v.Projected.Sources {
				if s.ServiceAccountToken != nil && s.ServiceAccountToken.Audience == audience {
					return true, nil
				}
			}
		}
		driver, err := p.driverOf(ctx, pod, v)
		if err == nil && driver != "" {
			var found bool
			if found, err = p.driverNamesAudience(ctx, driver, audience); found {
				return true, nil
			}
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	return false, utilerrors.NewAggregate(errs)
}

// driverOf returns the CSI driver of a volume, "" if it has none.
func (p *Plugin) driverOf(ctx context.Context, pod *corev1.Pod, v *corev1.Volume) (string, error) {
	claim := ""
	switch {
	case v.CSI != nil:
		return v.CSI.Driver, nil
	case v.Ephemeral != nil && v.Ephemeral.VolumeClaimTemplate != nil:
		claim = pod.Name + "-" + v.Name
	case v.PersistentVolumeClaim != nil:
		claim = v.PersistentVolumeClaim.ClaimName
	default:
		return "", nil
	}
	c, err := p.Client.CoreV1().PersistentVolumeClaims(pod.Namespace).Get(ctx, claim, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	volume, err := p.Client.CoreV1().PersistentVolumes().Get(ctx, c.Spec.VolumeName, metav1.GetOptions{})
	if err != nil || volume.Spec.CSI == nil {
		return "", err
	}
	return volume.Spec.CSI.Driver, nil
}

func (p *Plugin) driverNamesAudience(ctx context.Context, name, audience string) (bool, error) {
	driver, err := p.Client.StorageV1().CSIDrivers().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return false, err
	}
	for _, t := range driver.Spec.TokenRequests {
		if t.Audience == audience {
			return true, nil
		}
	}
	return false, nil
}

// podCertificates lets a node ask for certificates of its pods, from signers that these
// name. What a lagging cache can cause is not a refusal: it may be tried again.
func (p *Plugin) podCertificates(ctx context.Context, w write) error {
	if w.Operation != admission.Create {
		return w.refuse("unexpected operation %v", w.Operation)
	}
	if w.Subresource != "" {
		return w.refuse("unexpected subresource %v", w.Subresource)
	}
	req, ok := w.Object.(*certificatesv1.PodCertificateRequest)
	if !ok {
		return w.unexpectedType(w.Object)
	}
	s := &req.Spec
	if string(s.NodeName) != w.node {
		return w.refuse("PodCertificateRequest.Spec.NodeName=%q, which is not the requesting node %q", s.NodeName, w.node)
	}
	node, err := p.Nodes.Get(w.node)
	if err != nil {
		return fmt.Errorf("while retrieving node %q named in the PodCertificateRequest: %w", s.NodeName, err)
	}
	full := w.Namespace + "/" + s.PodName
	if node.UID != s.NodeUID {
		return fmt.Errorf("PodCertificateRequest for pod %q names node UID %q, inconsistent with the running node (%q)", full, s.NodeUID, node.UID)
	}
	pod, err := p.Pods.Pods(w.Namespace).Get(s.PodName)
	if err != nil {
		return fmt.Errorf("while retrieving pod %q named in the PodCertificateRequest: %w", full, err)
	}
	if s.PodUID != pod.UID {
		return fmt.Errorf("PodCertificateRequest for pod %q contains pod UID (%q) which differs from running pod %q", full, s.PodUID, pod.UID)
	}
	return p.certificateOfPod(ctx, w, s, pod)
}

func (p *Plugin) certificateOfPod(ctx context.Context, w write, s *certificatesv1.PodCertificateRequestSpec, pod *corev1.Pod) error {
	full := w.Namespace + "/" + s.PodName
	if pod.Spec.NodeName != w.node {
		return w.refuse("pod %q is not running on node %q named in the PodCertificateRequest", full, s.NodeName)
	}
	if _, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]; mirror {
		return w.refuse("pod %q is a mirror pod", full)
	}
	if s.ServiceAccountName != pod.Spec.ServiceAccountName {
		return w.refuse("PodCertificateRequest for pod %q contains serviceAccountName (%q) that differs from running pod (%q)", full, s.ServiceAccountName, pod.Spec.ServiceAccountName)
	}
	sa, err := p.ServiceAccounts.ServiceAccounts(w.Namespace).Get(s.ServiceAccountName)
	if err != nil {
		return fmt.Errorf("while retrieving service account %q named in the PodCertificateRequest: %w", w.Namespace+"/"+s.ServiceAccountName, err)
	}
	if s.ServiceAccountUID != sa.UID {
		return fmt.Errorf("PodCertificateRequest for pod %q names service account UID %q, which differs from the running service account (%q)", full, s.ServiceAccountUID, sa.UID)
	}
	if podNamesSigner(pod, s.SignerName) {
		return nil
	}
	// Resources in rules cannot contain slashes.
	signer := strings.ReplaceAll(s.SignerName, "/", ":")
	allowed, err := p.exception(ctx, w, "request-serviceaccounts-podcertificate-signer", signer, s.ServiceAccountName)
	switch {
	case allowed:
		return nil
	case err != nil:
		return w.refuse("error authorizing %s to request podcertificaterequests for signer %q: %w", w.User.GetName(), s.SignerName, err)
	}
	return w.refuse("pod %q does not mount a podCertificate projected volume for signer %q", full, s.SignerName)
}

func podNamesSigner(pod *corev1.Pod, signer string) bool {
	for i := range pod.Spec.Volumes {
		if pod.Spec.Volumes[i].Projected == nil {
			continue
		}
		for _, s := range pod.Spec.Volumes[i].Projected.Sources {
			if s.PodCertificate != nil && s.PodCertificate.SignerName == signer {
				return true
			}
		}
	}
	return false
}
