// Package certificates describes the resources of the API group
// certificates.k8s.io: certificate signing requests, cluster trust bundles and pod
// certificate requests.
package certificates

import (
	"context"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/request"

	"skiff/server/registry"
	"skiff/server/registry/table"
)

// Group is the API group's name.
const Group = certificatesv1.GroupName

// Deps is what the group's rules ask others for.
type Deps struct {
	// Authorizer decides who may sign for a signer; nil allows everybody.
	Authorizer Authorizer
	// Now is the clock of condition timestamps; nil is the real one.
	Now func() time.Time
}

// Authorizer is the part of authorizer.Authorizer that is used here.
type Authorizer interface {
	Authorize(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error)
}

func (d Deps) now() time.Time {
	if d.Now == nil {
		return time.Now()
	}
	return d.Now()
}

// CertificateSigningRequests returns the resource certificatesigningrequests.
func CertificateSigningRequests(d Deps) *registry.Resource {
	type csr = certificatesv1.CertificateSigningRequest
	return &registry.Resource{
		Group: Group, Plural: "certificatesigningrequests", Singular: "certificatesigningrequest", Kind: "CertificateSigningRequest",
		ShortNames: []string{"csr"},
		Versions:   []registry.Version{{Name: "v1", New: registry.New[csr](), NewList: registry.New[certificatesv1.CertificateSigningRequestList]()}},
		Rules: registry.Rules{
			PrepareCreate: registry.Prepare(prepareCSR),
			PrepareUpdate: registry.PrepareUpdate(func(_ context.Context, c, old *csr) {
				c.Spec, c.Status = old.Spec, old.Status
			}),
			Validate:                 registry.Validate(validateCSR),
			ValidateUpdate:           registry.ValidateUpdate(validateCSRUpdate(updates{})),
			ValidateName:             func(string, bool) []string { return nil },
			AllowUnconditionalUpdate: true,
		},
		Fields: func(o registry.Object) fields.Set {
			return fields.Set{"spec.signerName": o.(*csr).Spec.SignerName}
		},
		FieldNames: []string{"spec.signerName"},
		Columns: []table.Column{
			table.Name(),
			table.Age(),
			table.String("SignerName", table.Doc(certificatesv1.CertificateSigningRequestSpec{}, "signerName")),
			table.String("Requestor", table.Doc(certificatesv1.CertificateSigningRequestSpec{}, "request")),
			table.String("RequestedDuration", table.Doc(certificatesv1.CertificateSigningRequestSpec{}, "expirationSeconds")),
			table.String("Condition", table.Doc(certificatesv1.CertificateSigningRequestStatus{}, "conditions")),
		},
		Cells: registry.Cells(csrCells),
		Subresources: []registry.Subresource{
			{Name: "status", Update: &registry.Rules{
				PrepareUpdate: registry.PrepareUpdate(func(_ context.Context, c, old *csr) {
					c.Spec = old.Spec
					keepConditions(c, old, certificatesv1.CertificateApproved)
					keepConditions(c, old, certificatesv1.CertificateDenied)
					stampConditions(c, old, metav1.NewTime(d.now()))
				}),
				ValidateUpdate:           registry.ValidateUpdate(validateCSRUpdate(updates{certificate: true})),
				AllowUnconditionalUpdate: true,
			}},
			{Name: "approval", Update: &registry.Rules{
				PrepareUpdate: registry.PrepareUpdate(func(_ context.Context, c, old *csr) {
					stampConditions(c, old, metav1.NewTime(d.now()))
					conditions := c.Status.Conditions
					c.Spec, c.Status = old.Spec, old.Status
					c.Status.Conditions = conditions
				}),
				ValidateUpdate:           registry.ValidateUpdate(validateCSRUpdate(updates{approval: true})),
				AllowUnconditionalUpdate: true,
			}},
		},
	}
}

// prepareCSR makes a request that of the user who sends it.
func prepareCSR(ctx context.Context, c *certificatesv1.CertificateSigningRequest) {
	s := &c.Spec
	s.Username, s.UID, s.Groups, s.Extra = "", "", nil, nil
	if u, ok := request.UserFrom(ctx); ok {
		s.Username, s.UID, s.Groups = u.GetName(), u.GetUID(), u.GetGroups()
		if extra := u.GetExtra(); len(extra) > 0 {
			s.Extra = make(map[string]certificatesv1.ExtraValue, len(extra))
			for k, v := range extra {
				s.Extra[k] = v
			}
		}
	}
	c.Status = certificatesv1.CertificateSigningRequestStatus{Conditions: []certificatesv1.CertificateSigningRequestCondition{}}
}

// keepConditions restores the conditions of a type as they were, unless there are
// more or fewer of them now, which validation refuses.
func keepConditions(c, old *certificatesv1.CertificateSigningRequest, t certificatesv1.RequestConditionType) {
	is, was := conditionIndexes(c, t), conditionIndexes(old, t)
	if len(is) != len(was) {
		return
	}
	for i := range was {
		c.Status.Conditions[is[i]] = old.Status.Conditions[was[i]]
	}
}

func conditionIndexes(c *certificatesv1.CertificateSigningRequest, t certificatesv1.RequestConditionType) []int {
	var indexes []int
	for i := range c.Status.Conditions {
		if c.Status.Conditions[i].Type == t {
			indexes = append(indexes, i)
		}
	}
	return indexes
}

// stampConditions fills in the times that the client left out.
func stampConditions(c, old *certificatesv1.CertificateSigningRequest, now metav1.Time) {
	for i := range c.Status.Conditions {
		cond := &c.Status.Conditions[i]
		if cond.LastUpdateTime.IsZero() {
			cond.LastUpdateTime = now
		}
		if !cond.LastTransitionTime.IsZero() {
			continue
		}
		cond.LastTransitionTime = now
		for _, o := range old.Status.Conditions {
			if o.Type == cond.Type && o.Status == cond.Status && !o.LastTransitionTime.IsZero() {
				cond.LastTransitionTime = o.LastTransitionTime
				break
			}
		}
	}
}

func csrCells(c *certificatesv1.CertificateSigningRequest) []any {
	signer, requested := "<none>", "<none>"
	if c.Spec.SignerName != "" {
		signer = c.Spec.SignerName
	}
	if s := c.Spec.ExpirationSeconds; s != nil {
		requested = duration.HumanDuration(time.Duration(*s) * time.Second)
	}
	return []any{c.Name, table.Since(c.CreationTimestamp), signer, c.Spec.Username, requested, csrState(c)}
}

func csrState(c *certificatesv1.CertificateSigningRequest) string {
	has := func(t certificatesv1.RequestConditionType) bool { return len(conditionIndexes(c, t)) > 0 }
	states := []string{"Pending"}
	switch {
	case has(certificatesv1.CertificateDenied):
		states[0] = "Denied"
	case has(certificatesv1.CertificateApproved):
		states[0] = "Approved"
	}
	if has(certificatesv1.CertificateFailed) {
		states = append(states, "Failed")
	}
	if len(c.Status.Certificate) > 0 {
		states = append(states, "Issued")
	}
	return strings.Join(states, ",")
}

// ClusterTrustBundles returns the resource clustertrustbundles.
func ClusterTrustBundles() *registry.Resource {
	type bundle = certificatesv1.ClusterTrustBundle
	return &registry.Resource{
		Group: Group, Plural: "clustertrustbundles", Singular: "clustertrustbundle", Kind: "ClusterTrustBundle",
		Versions: []registry.Version{{Name: "v1", New: registry.New[bundle](), NewList: registry.New[certificatesv1.ClusterTrustBundleList]()}},
		Rules: registry.Rules{
			Validate:       registry.Validate(validateBundle),
			ValidateUpdate: registry.ValidateUpdate(validateBundleUpdate),
			// The name depends on the signer: validateBundle checks it.
			ValidateName: func(string, bool) []string { return nil },
		},
		Fields: func(o registry.Object) fields.Set {
			return fields.Set{"spec.signerName": o.(*bundle).Spec.SignerName}
		},
		FieldNames: []string{"spec.signerName"},
		Columns: []table.Column{
			table.Name(),
			table.String("SignerName", table.Doc(certificatesv1.ClusterTrustBundleSpec{}, "signerName")),
		},
		Cells: registry.Cells(func(b *bundle) []any {
			signer := "<none>"
			if b.Spec.SignerName != "" {
				signer = b.Spec.SignerName
			}
			return []any{b.Name, signer}
		}),
	}
}

// PodCertificateRequests returns the resource podcertificaterequests.
func PodCertificateRequests(d Deps) *registry.Resource {
	type pcr = certificatesv1.PodCertificateRequest
	spec := certificatesv1.PodCertificateRequestSpec{}
	return &registry.Resource{
		Group: Group, Plural: "podcertificaterequests", Singular: "podcertificaterequest", Kind: "PodCertificateRequest", Namespaced: true,
		Versions: []registry.Version{{Name: "v1", New: registry.New[pcr](), NewList: registry.New[certificatesv1.PodCertificateRequestList]()}},
		Rules: registry.Rules{
			Default: registry.Default(func(p *pcr) {
				if p.Spec.MaxExpirationSeconds == nil {
					day := int32(86400)
					p.Spec.MaxExpirationSeconds = &day
				}
			}),
			PrepareCreate:  registry.Prepare(func(_ context.Context, p *pcr) { p.Status = certificatesv1.PodCertificateRequestStatus{} }),
			PrepareUpdate:  registry.PrepareUpdate(func(_ context.Context, p, old *pcr) { p.Status = old.Status }),
			Validate:       registry.Validate(validatePodRequest),
			ValidateUpdate: registry.ValidateUpdate(validatePodRequestUpdate),
		},
		Fields: func(o registry.Object) fields.Set {
			s := &o.(*pcr).Spec
			return fields.Set{"spec.signerName": s.SignerName, "spec.podName": s.PodName, "spec.nodeName": string(s.NodeName)}
		},
		FieldNames: []string{"spec.signerName", "spec.podName", "spec.nodeName"},
		Columns: []table.Column{
			table.Name(),
			table.String("PodName", table.Doc(spec, "podName")),
			table.String("ServiceAccountName", table.Doc(spec, "serviceAccountName")),
			table.String("NodeName", table.Doc(spec, "nodeName")),
			table.String("SignerName", table.Doc(spec, "signerName")),
			table.String("State", "Is the request Pending, Issued, Denied, or Failed?"),
			table.String("UnverifiedUserAnnotations", table.Doc(spec, "unverifiedUserAnnotations")),
		},
		Cells: registry.Cells(func(p *pcr) []any {
			return []any{
				p.Name, p.Spec.PodName, p.Spec.ServiceAccountName, string(p.Spec.NodeName), p.Spec.SignerName,
				podRequestState(p), labels.FormatLabels(p.Spec.UnverifiedUserAnnotations),
			}
		}),
		Subresources: []registry.Subresource{{Name: "status", Update: &registry.Rules{
			PrepareUpdate: registry.PrepareUpdate(func(_ context.Context, p, old *pcr) {
				p.Spec = old.Spec
				metav1.ResetObjectMetaForStatus(&p.ObjectMeta, &old.ObjectMeta)
			}),
			ValidateUpdate: registry.ValidateUpdate(d.validatePodRequestStatus),
		}}},
	}
}

func podRequestState(p *certificatesv1.PodCertificateRequest) string {
	state := "Pending"
	for _, c := range p.Status.Conditions {
		switch c.Type {
		case certificatesv1.PodCertificateRequestConditionTypeIssued, certificatesv1.PodCertificateRequestConditionTypeDenied, certificatesv1.PodCertificateRequestConditionTypeFailed:
			state = c.Type
		}
	}
	return state
}
