package node

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/utils/ptr"
)

func local(name string) *corev1.LocalObjectReference {
	return &corev1.LocalObjectReference{Name: name}
}

// web is a pod on node "box" that refers to everything a pod can.
func web() *corev1.Pod {
	env := func(secret, config string) corev1.Container {
		return corev1.Container{
			EnvFrom: []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: *local(secret + "-from")}}, {ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: *local(config + "-from")}}},
			Env: []corev1.EnvVar{
				{ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: *local(secret + "-key")}}},
				{ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: *local(config + "-key")}}},
			},
		}
	}
	volume := func(name string, s corev1.VolumeSource) corev1.Volume {
		return corev1.Volume{Name: name, VolumeSource: s}
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"},
		Spec: corev1.PodSpec{
			NodeName: "box", ServiceAccountName: "robot", ImagePullSecrets: []corev1.LocalObjectReference{*local("pull")},
			InitContainers: []corev1.Container{env("init", "initmap")}, Containers: []corev1.Container{env("main", "mainmap")},
			ResourceClaims: []corev1.PodResourceClaim{{Name: "gpu", ResourceClaimName: ptr.To("gpus")}},
			Volumes: []corev1.Volume{
				volume("a", corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "volume"}}),
				volume("b", corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: *local("volumemap")}}),
				volume("c", corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
					{Secret: &corev1.SecretProjection{LocalObjectReference: *local("projected")}}, {ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: *local("projectedmap")}},
				}}}),
				volume("d", corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}),
				volume("e", corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}),
				volume("f", corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{NodePublishSecretRef: local("csi")}}),
			},
		},
		Status: corev1.PodStatus{ResourceClaimStatuses: []corev1.PodResourceClaimStatus{{Name: "x", ResourceClaimName: ptr.To("made")}}},
	}
}

func newAuthorizer(t *testing.T) *Authorizer {
	t.Helper()
	volume := func(name, claim, secret string) *corev1.PersistentVolume {
		return &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PersistentVolumeSpec{
			ClaimRef: &corev1.ObjectReference{Namespace: "shop", Name: claim},
			PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{
				NodeStageSecretRef:         &corev1.SecretReference{Namespace: "storage", Name: secret},
				ControllerPublishSecretRef: &corev1.SecretReference{Namespace: "storage", Name: secret + "-controller"},
			}},
		}}
	}
	client := fake.NewClientset(
		volume("pv-data", "data", "stage"), volume("pv-other", "other", "stage-other"),
		&storagev1.VolumeAttachment{ObjectMeta: metav1.ObjectMeta{Name: "here"}, Spec: storagev1.VolumeAttachmentSpec{NodeName: "box"}},
		&storagev1.VolumeAttachment{ObjectMeta: metav1.ObjectMeta{Name: "there"}, Spec: storagev1.VolumeAttachmentSpec{NodeName: "bax"}},
		&resourcev1.ResourceSlice{ObjectMeta: metav1.ObjectMeta{Name: "mine"}, Spec: resourcev1.ResourceSliceSpec{NodeName: ptr.To("box")}},
	)
	factory := informers.NewSharedInformerFactory(client, 0)
	a, err := New(factory.Core().V1().Pods(), client, nil)
	if err != nil {
		t.Fatal(err)
	}
	mirror := web()
	mirror.Name, mirror.Spec.ImagePullSecrets = "mirror", []corev1.LocalObjectReference{*local("mirrored")}
	mirror.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"}
	there := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "there"}, Spec: corev1.PodSpec{NodeName: "bax", ServiceAccountName: "other", ImagePullSecrets: []corev1.LocalObjectReference{*local("foreign")}}}
	for _, p := range []*corev1.Pod{web(), mirror, there} {
		if err := factory.Core().V1().Pods().Informer().GetIndexer().Add(p); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

func TestAuthorize(t *testing.T) {
	a := newAuthorizer(t)
	const unrelated = "no relationship found between node 'box' and this object"
	// Each line: verb, group or -, resource[/subresource], namespace or -, name or -,
	// optionally a field selector, then "ok" or the reason after a bar.
	for _, line := range strings.Split(strings.TrimSpace(`
get - secrets shop pull | ok
get - secrets shop volume | ok
get - secrets shop projected | ok
get - secrets shop init-from | ok
get - secrets shop main-key | ok
get - secrets shop csi | ok
list - secrets shop volume | ok
watch - secrets shop volume | ok
get - secrets shop mirrored | `+unrelated+`
get - secrets shop foreign | `+unrelated+`
get - secrets other volume | `+unrelated+`
get - secrets shop volumemap | `+unrelated+`
get - secrets storage stage | ok
get - secrets storage stage-controller | `+unrelated+`
get - secrets storage stage-other | `+unrelated+`
list - secrets shop - | No Object name found
list - secrets - - | can only read namespaced object of this type
update - secrets shop volume | can only read resources of this type
get - secrets/x shop volume | cannot read subresource
get - configmaps shop volumemap | ok
get - configmaps shop projectedmap | ok
get - configmaps shop initmap-key | ok
get - configmaps shop mainmap-from | ok
get - configmaps shop volume | `+unrelated+`
get - persistentvolumeclaims shop data | ok
get - persistentvolumeclaims shop web-e | ok
get - persistentvolumeclaims shop other | `+unrelated+`
list - persistentvolumeclaims shop - | can only get individual resources of this type
patch - persistentvolumeclaims/status shop data | ok
patch - persistentvolumeclaims/status shop other | `+unrelated+`
get - persistentvolumeclaims/status shop data | can only get/update/patch this type
get - persistentvolumes - pv-data | ok
get - persistentvolumes - pv-other | `+unrelated+`
get - persistentvolumes - gone | `+unrelated+`
get resource.k8s.io resourceclaims shop gpus | ok
get resource.k8s.io resourceclaims shop made | ok
get resource.k8s.io resourceclaims shop other | `+unrelated+`
get storage.k8s.io volumeattachments - here | ok
get storage.k8s.io volumeattachments - there | `+unrelated+`
create - serviceaccounts/token shop robot | ok
create - serviceaccounts/token shop other | `+unrelated+`
create - serviceaccounts shop robot | can only create token subresource of serviceaccount
list - serviceaccounts shop - | can only create tokens for individual service accounts
get - serviceaccounts shop robot | ok
get - nodes - box | ok
get - nodes - bax | node 'box' cannot read 'bax', only its own Node object
list - nodes - - | node 'box' cannot read all nodes, only its own Node object
create - nodes - - | ok
patch - nodes/status - box | ok
delete - nodes - box |
get - pods shop web | ok
get - pods shop there | `+unrelated+`
list - pods - - spec.nodeName=box | ok
list - pods - - spec.nodeName=bax | can only list/watch pods with spec.nodeName field selector
watch - pods - - | can only list/watch pods with spec.nodeName field selector
create - pods shop - | ok
delete - pods shop web | ok
update - pods shop web |
patch - pods/status shop web | ok
create - pods/eviction shop web | ok
get - pods/log shop web |
get coordination.k8s.io leases kube-node-lease box | ok
update coordination.k8s.io leases kube-node-lease bax | can only access node lease with the same name as the requesting node
create coordination.k8s.io leases kube-node-lease - | ok
create coordination.k8s.io leases shop box | can only access leases in the "kube-node-lease" system namespace
list coordination.k8s.io leases kube-node-lease - | can only get, create, update, patch, or delete a node lease
get storage.k8s.io csinodes - box | ok
patch storage.k8s.io csinodes - bax | can only access CSINode with the same name as the requesting node
list storage.k8s.io csinodes - - | can only get, create, update, patch, or delete a CSINode
create resource.k8s.io resourceslices - - | ok
update resource.k8s.io resourceslices - mine | ok
update resource.k8s.io resourceslices - other | `+unrelated+`
watch resource.k8s.io resourceslices - - spec.nodeName=box | ok
watch resource.k8s.io resourceslices - - | can only list/watch/deletecollection resourceslices with nodeName field selector
list certificates.k8s.io podcertificaterequests - - spec.nodeName=box | ok
delete certificates.k8s.io podcertificaterequests shop x | nodes may not delete podcertificaterequests
get - endpoints shop x |
`), "\n") {
		request, want, _ := strings.Cut(line, "|")
		decision, reason, err := a.Authorize(t.Context(), parse(t, strings.Fields(request)))
		got := reason
		if decision == authorizer.DecisionAllow {
			got = "ok"
		}
		if err != nil || got != strings.TrimSpace(want) {
			t.Errorf("%s: got %q, %v", line, got, err)
		}
	}
}

func parse(t *testing.T, f []string) authorizer.Attributes {
	t.Helper()
	for i, s := range f {
		if s == "-" {
			f[i] = ""
		}
	}
	resource, sub, _ := strings.Cut(f[2], "/")
	a := authorizer.AttributesRecord{
		User: &user.DefaultInfo{Name: "system:node:box", Groups: []string{"system:nodes", "system:authenticated"}},
		Verb: f[0], APIGroup: f[1], Resource: resource, Subresource: sub, Namespace: f[3], Name: f[4], ResourceRequest: true,
	}
	if len(f) > 5 {
		s, err := fields.ParseSelector(f[5])
		if err != nil {
			t.Fatal(err)
		}
		a.FieldSelectorRequirements = s.Requirements()
	}
	return a
}

func TestWhoIsANode(t *testing.T) {
	a := newAuthorizer(t)
	for _, tc := range []struct {
		name   string
		groups []string
		reason string
		allow  bool
	}{
		{"system:node:box", []string{"system:nodes"}, "", true},
		{"system:node:box", nil, "", false},
		{"box", []string{"system:nodes"}, "", false},
		{"system:node:", []string{"system:nodes"}, `unknown node for user "system:node:"`, false},
	} {
		attrs := authorizer.AttributesRecord{User: &user.DefaultInfo{Name: tc.name, Groups: tc.groups}, Verb: "get", Resource: "nodes", Name: "box", ResourceRequest: true}
		decision, reason, _ := a.Authorize(t.Context(), attrs)
		if (decision == authorizer.DecisionAllow) != tc.allow || reason != tc.reason {
			t.Errorf("%s %v: %v %q", tc.name, tc.groups, decision, reason)
		}
	}
}
