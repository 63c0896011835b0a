package noderestriction

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	resourcev1 "k8s.io/api/resource/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/kubernetes/fake"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/utils/ptr"

	"skiff/server/admission"
	at "skiff/server/admission/admissiontest"
	"skiff/server/authz/node"
)

func meta(ns, name, uid string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: ns, Name: name, UID: types.UID(uid)}
}

func pod(name, node string, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: meta("shop", name, name+"-uid"), Spec: corev1.PodSpec{NodeName: node, ServiceAccountName: "robot"}}
	for _, f := range change {
		f(p)
	}
	return p
}

// mirror is a mirror pod as a node makes it.
func mirror(change ...func(*corev1.Pod)) *corev1.Pod {
	return pod("mirror", "box", append([]func(*corev1.Pod){func(p *corev1.Pod) {
		p.Spec.ServiceAccountName = ""
		p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"}
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: "box", UID: "node-uid", Controller: ptr.To(true)}}
	}}, change...)...)
}

func boxNode(change ...func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{ObjectMeta: meta("", "box", "node-uid")}
	n.Labels = map[string]string{"kubernetes.io/hostname": "box", "team": "a"}
	for _, f := range change {
		f(n)
	}
	return n
}

func label(k, v string) func(*corev1.Node) {
	return func(n *corev1.Node) { n.Labels[k] = v }
}

func claim(change ...func(*corev1.PersistentVolumeClaim)) *corev1.PersistentVolumeClaim {
	c := &corev1.PersistentVolumeClaim{ObjectMeta: meta("shop", "data", "1")}
	for _, f := range change {
		f(c)
	}
	return c
}

func tokenFor(apiVersion, kind, name, uid string, audiences ...string) *authenticationv1.TokenRequest {
	return &authenticationv1.TokenRequest{ObjectMeta: meta("shop", "robot", ""), Spec: authenticationv1.TokenRequestSpec{
		Audiences: audiences, BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: apiVersion, Kind: kind, Name: name, UID: types.UID(uid)},
	}}
}

func csr(t *testing.T, signer, cn string) *certificatesv1.CertificateSigningRequest {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: cn}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return &certificatesv1.CertificateSigningRequest{Spec: certificatesv1.CertificateSigningRequestSpec{
		SignerName: signer, Request: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
	}}
}

func podCertificate(change ...func(*certificatesv1.PodCertificateRequestSpec)) *certificatesv1.PodCertificateRequest {
	r := &certificatesv1.PodCertificateRequest{ObjectMeta: meta("shop", "r", ""), Spec: certificatesv1.PodCertificateRequestSpec{
		SignerName: "example.org/s", PodName: "web", PodUID: "web-uid", ServiceAccountName: "robot", ServiceAccountUID: "robot-uid", NodeName: "box", NodeUID: "node-uid",
	}}
	for _, f := range change {
		f(&r.Spec)
	}
	return r
}

func newPlugin(t *testing.T) *Plugin {
	t.Helper()
	withVolumes := func(p *corev1.Pod) {
		p.Spec.Volumes = []corev1.Volume{
			{Name: "a", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
				{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{}},
				{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: "vault"}},
				{PodCertificate: &corev1.PodCertificateProjection{SignerName: "example.org/s"}},
			}}}},
			{Name: "b", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}},
		}
	}
	driver := &storagev1.CSIDriver{ObjectMeta: meta("", "csi.example.org", ""), Spec: storagev1.CSIDriverSpec{TokenRequests: []storagev1.TokenRequest{{Audience: "storage"}}}}
	volume := &corev1.PersistentVolume{ObjectMeta: meta("", "pv", ""), Spec: corev1.PersistentVolumeSpec{PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: driver.Name}}}}
	bound := claim(func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeName = "pv" })
	return New(Deps{
		Pods:            corelisters.NewPodLister(at.Indexer(t, pod("web", "box", withVolumes), pod("there", "bax"))),
		Nodes:           corelisters.NewNodeLister(at.Indexer(t, boxNode())),
		ServiceAccounts: corelisters.NewServiceAccountLister(at.Indexer(t, &corev1.ServiceAccount{ObjectMeta: meta("shop", "robot", "robot-uid")})),
		Client:          fake.NewClientset(driver, volume, bound),
		Identity:        node.Identity,
		Authorizer: authorizer.AuthorizerFunc(func(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
			if a.GetVerb() == "request-serviceaccounts-token-audience" && a.GetResource() == "allowed" && a.GetName() == "robot" {
				return authorizer.DecisionAllow, "", nil
			}
			return authorizer.DecisionNoOpinion, "", nil
		}),
	})
}

func TestAdmit(t *testing.T) {
	const create, update, del = admission.Create, admission.Update, admission.Delete
	volume := func(s corev1.VolumeSource) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: s}} }
	}
	lease := func(ns, name string) *coordinationv1.Lease {
		return &coordinationv1.Lease{ObjectMeta: meta(ns, name, "")}
	}
	eviction := func(name string) *policyv1.Eviction { return &policyv1.Eviction{ObjectMeta: meta("shop", name, "")} }
	slice := func(node string) *resourcev1.ResourceSlice {
		return &resourcev1.ResourceSlice{ObjectMeta: meta("", "s", ""), Spec: resourcev1.ResourceSliceSpec{NodeName: &node}}
	}
	const audience = "system:node:box is not authorized to request tokens for audience "
	for name, tc := range map[string]struct {
		op       admission.Operation
		resource string
		obj, old runtime.Object
		want     string
	}{
		"mirror pod":                 {create, "pods", mirror(), nil, ""},
		"ordinary pod":               {create, "pods", pod("x", "box"), nil, `pod does not have "kubernetes.io/config.mirror" annotation, node "box" can only create mirror pods`},
		"mirror pod elsewhere":       {create, "pods", mirror(func(p *corev1.Pod) { p.Spec.NodeName = "bax" }), nil, `node "box" can only create pods with spec.nodeName set to itself`},
		"mirror pod without owner":   {create, "pods", mirror(func(p *corev1.Pod) { p.OwnerReferences = nil }), nil, `node "box" can only create pods with an owner reference set to itself`},
		"mirror pod, two owners":     {create, "pods", mirror(func(p *corev1.Pod) { p.OwnerReferences = append(p.OwnerReferences, p.OwnerReferences[0]) }), nil, `can only create pods with a single owner reference set to itself`},
		"mirror pod, other owner":    {create, "pods", mirror(func(p *corev1.Pod) { p.OwnerReferences[0].Name = "bax" }), nil, `can only create pods with an owner reference set to itself`},
		"mirror pod, no controller":  {create, "pods", mirror(func(p *corev1.Pod) { p.OwnerReferences[0].Controller = nil }), nil, `with a controller owner reference set to itself`},
		"mirror pod blocks owner":    {create, "pods", mirror(func(p *corev1.Pod) { p.OwnerReferences[0].BlockOwnerDeletion = ptr.To(true) }), nil, `must not set blockOwnerDeletion on an owner reference`},
		"mirror pod, old node":       {create, "pods", mirror(func(p *corev1.Pod) { p.OwnerReferences[0].UID = "2" }), nil, `node box UID mismatch: expected 2 got node-uid`},
		"mirror pod with account":    {create, "pods", mirror(func(p *corev1.Pod) { p.Spec.ServiceAccountName = "x" }), nil, `node "box" can not create pods that reference serviceaccounts`},
		"mirror pod with secret":     {create, "pods", mirror(volume(corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "x"}})), nil, `reference secrets`},
		"mirror pod with config map": {create, "pods", mirror(volume(corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "x"}}})), nil, `reference configmaps`},
		"mirror pod with claim":      {create, "pods", mirror(volume(corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "x"}})), nil, `reference persistentvolumeclaims`},
		"mirror pod with token":      {create, "pods", mirror(volume(corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{}}}}})), nil, `reference serviceaccounts (via projected volumes)`},
		"mirror pod, unknown volume": {create, "pods", mirror(volume(corev1.VolumeSource{})), nil, `error checking mirror pod for API references: unknown volume type for volume  "v"`},
		"mirror pod with host path":  {create, "pods", mirror(volume(corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{}})), nil, ""},
		"delete own pod":             {del, "pods", nil, pod("web", "box"), ""},
		"delete another's pod":       {del, "pods", nil, pod("there", "bax"), `node "box" can only delete pods with spec.nodeName set to itself`},
		"delete a pod that is gone":  {del, "pods", nil, pod("gone", "box"), `"gone" not found`},
		"update a pod":               {update, "pods", pod("web", "box"), pod("web", "box"), `unexpected operation "UPDATE", node "box" can only create and delete mirror pods`},
		"own pod's status":           {update, "pods/status", pod("web", "box"), pod("web", "box"), ""},
		"another's pod's status":     {update, "pods/status", pod("there", "bax"), pod("there", "bax"), `node "box" can only update pod status for pods with spec.nodeName set to itself`},
		"labels by status":           {update, "pods/status", pod("web", "box", func(p *corev1.Pod) { p.Labels = map[string]string{"a": "b"} }), pod("web", "box"), `node "box" cannot update labels through pod status`},
		"claims by status":           {update, "pods/status", pod("web", "box", func(p *corev1.Pod) { p.Status.ResourceClaimStatuses = []corev1.PodResourceClaimStatus{{Name: "a"}} }), pod("web", "box"), `node "box" cannot update resource claim statues`},
		"evict own pod":              {create, "pods/eviction", eviction("web"), nil, ""},
		"evict another's pod":        {create, "pods/eviction", eviction("there"), nil, `node box can only evict pods with spec.nodeName set to itself`},
		"exec":                       {create, "pods/exec", pod("web", "box"), nil, `unexpected pod subresource "exec", only 'status' and 'eviction' are allowed`},
		"create own node":            {create, "nodes", boxNode(), nil, ""},
		"create another node":        {create, "nodes", boxNode(func(n *corev1.Node) { n.Name = "bax" }), nil, `node "box" is not allowed to modify node "bax"`},
		"node with kubelet labels":   {create, "nodes", boxNode(label("node.kubernetes.io/instance-type", "x"), label("kubelet.kubernetes.io/x", "x"), label("topology.kubernetes.io/zone", "z")), nil, ""},
		"node with reserved label":   {create, "nodes", boxNode(label("node-restriction.kubernetes.io/x", "x"), label("a.k8s.io/y", "y")), nil, `node "box" is not allowed to set the following labels: a.k8s.io/y, node-restriction.kubernetes.io/x`},
		"role label on create":       {create, "nodes", boxNode(label("node-role.kubernetes.io/control-plane", "")), nil, `is not allowed to set the following labels: node-role.kubernetes.io/control-plane`},
		"update own label":           {update, "nodes", boxNode(label("team", "b")), boxNode(), ""},
		"reserved label stays":       {update, "nodes", boxNode(label("x.k8s.io/y", "1")), boxNode(label("x.k8s.io/y", "1")), ""},
		"reserved label removed":     {update, "nodes", boxNode(), boxNode(label("x.k8s.io/y", "1")), `is not allowed to modify labels: x.k8s.io/y`},
		"taint":                      {update, "nodes", boxNode(func(n *corev1.Node) { n.Spec.Taints = []corev1.Taint{{Key: "a"}} }), boxNode(), `node "box" is not allowed to modify taints`},
		"owner":                      {update, "nodes/status", boxNode(func(n *corev1.Node) { n.OwnerReferences = []metav1.OwnerReference{{Name: "x"}} }), boxNode(), `node "box" is not allowed to modify ownerReferences`},
		"node status":                {update, "nodes/status", boxNode(func(n *corev1.Node) { n.Status.Phase = corev1.NodeRunning }), boxNode(), ""},
		"claim progress": {update, "persistentvolumeclaims/status", claim(func(c *corev1.PersistentVolumeClaim) {
			c.Status.Capacity = corev1.ResourceList{"storage": resource.MustParse("2Gi")}
		}), claim(), ""},
		"claim itself":                {update, "persistentvolumeclaims", claim(), claim(), "may only update PVC status"},
		"own lease":                   {create, "leases.coordination.k8s.io", lease("kube-node-lease", "box"), nil, ""},
		"another's lease":             {update, "leases.coordination.k8s.io", lease("kube-node-lease", "bax"), lease("kube-node-lease", "bax"), "can only access node lease with the same name as the requesting node"},
		"lease elsewhere":             {create, "leases.coordination.k8s.io", lease("shop", "box"), nil, `can only access leases in the "kube-node-lease" system namespace`},
		"own CSINode":                 {create, "csinodes.storage.k8s.io", &storagev1.CSINode{ObjectMeta: meta("", "box", "")}, nil, ""},
		"another's CSINode":           {create, "csinodes.storage.k8s.io", &storagev1.CSINode{ObjectMeta: meta("", "bax", "")}, nil, "can only access CSINode with the same name as the requesting node"},
		"own slice":                   {create, "resourceslices.resource.k8s.io", slice("box"), nil, ""},
		"another's slice":             {create, "resourceslices.resource.k8s.io", slice("bax"), nil, "can only create ResourceSlice with the same NodeName as the requesting node"},
		"delete another's slice":      {del, "resourceslices.resource.k8s.io", nil, slice("bax"), "can only delete ResourceSlice with the same NodeName as the requesting node"},
		"token of own pod":            {create, "serviceaccounts/token", tokenFor("v1", "Pod", "web", "web-uid"), nil, ""},
		"token for named audience":    {create, "serviceaccounts/token", tokenFor("v1", "Pod", "web", "web-uid", "vault"), nil, ""},
		"token for driver's audience": {create, "serviceaccounts/token", tokenFor("v1", "Pod", "web", "web-uid", "storage"), nil, ""},
		"token for allowed audience":  {create, "serviceaccounts/token", tokenFor("v1", "Pod", "web", "web-uid", "allowed"), nil, ""},
		"token for other audience":    {create, "serviceaccounts/token", tokenFor("v1", "Pod", "web", "web-uid", "other"), nil, audience + `"other"`},
		"token for two audiences":     {create, "serviceaccounts/token", tokenFor("v1", "Pod", "web", "web-uid", "a", "b"), nil, "node may only request 0 or 1 audiences"},
		"token of another's pod":      {create, "serviceaccounts/token", tokenFor("v1", "Pod", "there", "there-uid"), nil, "node requested token bound to a pod scheduled on a different node"},
		"token of an old pod":         {create, "serviceaccounts/token", tokenFor("v1", "Pod", "web", "2"), nil, "The object might have been deleted and then recreated"},
		"token without uid":           {create, "serviceaccounts/token", tokenFor("v1", "Pod", "web", ""), nil, "node requested token with a pod binding without a uid"},
		"token bound to a secret":     {create, "serviceaccounts/token", tokenFor("v1", "Secret", "web", "1"), nil, "node requested token not bound to a pod"},
		"own certificate":             {create, "certificatesigningrequests.certificates.k8s.io", csr(t, certificatesv1.KubeletServingSignerName, "system:node:box"), nil, ""},
		"another's certificate":       {create, "certificatesigningrequests.certificates.k8s.io", csr(t, certificatesv1.KubeAPIServerClientKubeletSignerName, "system:node:bax"), nil, "can only create a node CSR with CN=system:node:box"},
		"pod certificate":             {create, "podcertificaterequests.certificates.k8s.io", podCertificate(), nil, ""},
		"pod certificate, signer":     {create, "podcertificaterequests.certificates.k8s.io", podCertificate(func(s *certificatesv1.PodCertificateRequestSpec) { s.SignerName = "a/b" }), nil, `pod "shop/web" does not mount a podCertificate projected volume for signer "a/b"`},
		"pod certificate, other pod":  {create, "podcertificaterequests.certificates.k8s.io", podCertificate(func(s *certificatesv1.PodCertificateRequestSpec) { s.PodName, s.PodUID = "there", "there-uid" }), nil, `pod "shop/there" is not running on node "box" named in the PodCertificateRequest`},
		"pod certificate, other node": {create, "podcertificaterequests.certificates.k8s.io", podCertificate(func(s *certificatesv1.PodCertificateRequestSpec) { s.NodeName = "bax" }), nil, `which is not the requesting node "box"`},
		"something else":              {create, "events", pod("x", "bax"), nil, ""},
	} {
		a := at.Write(tc.op, tc.resource, tc.obj, tc.old, at.Node("box"))
		at.Check(t, name, newPlugin(t).Admit(t.Context(), a), tc.want)
	}
}

func TestClaimBeyondProgress(t *testing.T) {
	changed := claim(func(c *corev1.PersistentVolumeClaim) { c.Labels = map[string]string{"a": "b"} })
	err := newPlugin(t).Admit(t.Context(), at.Write(admission.Update, "persistentvolumeclaims/status", changed, claim(), at.Node("box")))
	if err == nil {
		t.Error("a node may label claims")
	}
}

func TestOnlyNodesAreRestricted(t *testing.T) {
	p := newPlugin(t)
	at.Check(t, "user", p.Admit(t.Context(), at.Write(admission.Create, "pods", pod("x", "bax"), nil, at.Bob())), "")
	at.Check(t, "nameless node", p.Admit(t.Context(), at.Write(admission.Create, "pods", mirror(), nil, at.Node(""))), `could not determine node from user "system:node:"`)
}
