package serviceaccount

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/utils/ptr"

	"skiff/server/admission"
	at "skiff/server/admission/admissiontest"
)

func missing(_ context.Context, _, name string) (*corev1.ServiceAccount, error) {
	return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "serviceaccounts"}, name)
}

func account(name string, change ...func(*corev1.ServiceAccount)) *corev1.ServiceAccount {
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}}
	for _, f := range change {
		f(sa)
	}
	return sa
}

func newPlugin(t *testing.T, sa *corev1.ServiceAccount) *Plugin {
	t.Helper()
	return New(corelisters.NewServiceAccountLister(at.Indexer(t, sa)), missing)
}

func newPod(change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"},
		Spec:       corev1.PodSpec{InitContainers: []corev1.Container{{Name: "i"}}, Containers: []corev1.Container{{Name: "c"}}},
	}
	for _, f := range change {
		f(p)
	}
	return p
}

func create(t *testing.T, p *Plugin, pod *corev1.Pod) error {
	t.Helper()
	return p.Admit(t.Context(), at.Write(admission.Create, "pods", pod, nil, at.Bob()))
}

func TestDefaultAccountWithToken(t *testing.T) {
	pod := newPod()
	sa := account("default", func(sa *corev1.ServiceAccount) { sa.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "pull"}} })
	at.Check(t, "create", create(t, newPlugin(t, sa), pod), "")
	if pod.Spec.ServiceAccountName != "default" || pod.Spec.DeprecatedServiceAccount != "default" {
		t.Errorf("account %q %q", pod.Spec.ServiceAccountName, pod.Spec.DeprecatedServiceAccount)
	}
	if len(pod.Spec.ImagePullSecrets) != 1 || pod.Spec.ImagePullSecrets[0].Name != "pull" {
		t.Errorf("pull secrets %v", pod.Spec.ImagePullSecrets)
	}
	if len(pod.Spec.Volumes) != 1 {
		t.Fatalf("volumes %v", pod.Spec.Volumes)
	}
	v := pod.Spec.Volumes[0]
	if !strings.HasPrefix(v.Name, "kube-api-access-") || len(v.Name) != len("kube-api-access-")+5 {
		t.Errorf("volume %q", v.Name)
	}
	s := v.Projected.Sources
	if len(s) != 3 || s[0].ServiceAccountToken.Path != "token" || *s[0].ServiceAccountToken.ExpirationSeconds != 3607 ||
		s[1].ConfigMap.Name != "kube-root-ca.crt" || s[1].ConfigMap.Items[0].Path != "ca.crt" ||
		s[2].DownwardAPI.Items[0].FieldRef.FieldPath != "metadata.namespace" || *v.Projected.DefaultMode != 0o644 {
		t.Errorf("sources %+v", v.Projected)
	}
	for _, c := range append(pod.Spec.InitContainers, pod.Spec.Containers...) {
		if len(c.VolumeMounts) != 1 || c.VolumeMounts[0].Name != v.Name || !c.VolumeMounts[0].ReadOnly || c.VolumeMounts[0].MountPath != "/var/run/secrets/kubernetes.io/serviceaccount" {
			t.Errorf("%s mounts %v", c.Name, c.VolumeMounts)
		}
	}
}

func TestAutomount(t *testing.T) {
	for name, tc := range map[string]struct {
		pod, account *bool
		want         bool
	}{
		"neither":    {nil, nil, true},
		"account no": {nil, ptr.To(false), false},
		"pod wins":   {ptr.To(true), ptr.To(false), true},
		"pod no":     {ptr.To(false), ptr.To(true), false},
	} {
		pod := newPod(func(p *corev1.Pod) { p.Spec.AutomountServiceAccountToken = tc.pod })
		sa := account("default", func(sa *corev1.ServiceAccount) { sa.AutomountServiceAccountToken = tc.account })
		at.Check(t, name, create(t, newPlugin(t, sa), pod), "")
		if got := len(pod.Spec.Volumes) == 1; got != tc.want {
			t.Errorf("%s: mounted %v", name, got)
		}
	}
}

// What the pod mounts itself at the path stays, and its own volume is used again.
func TestOwnMounts(t *testing.T) {
	pod := newPod(func(p *corev1.Pod) {
		p.Spec.InitContainers[0].VolumeMounts = []corev1.VolumeMount{{Name: "mine", MountPath: mountPath}}
		p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "mine", MountPath: mountPath}}
	})
	at.Check(t, "all have one", create(t, newPlugin(t, account("default")), pod), "")
	if len(pod.Spec.Volumes) != 0 {
		t.Errorf("volumes %v", pod.Spec.Volumes)
	}
	pod = newPod(func(p *corev1.Pod) { p.Spec.Volumes = []corev1.Volume{{Name: "kube-api-access-abcde"}} })
	at.Check(t, "volume is there", create(t, newPlugin(t, account("default")), pod), "")
	if len(pod.Spec.Volumes) != 1 || pod.Spec.Containers[0].VolumeMounts[0].Name != "kube-api-access-abcde" {
		t.Errorf("%v %v", pod.Spec.Volumes, pod.Spec.Containers[0].VolumeMounts)
	}
}

func TestRefused(t *testing.T) {
	mirror := func(p *corev1.Pod) { p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"} }
	secret := func(p *corev1.Pod) {
		p.Spec.Volumes = []corev1.Volume{{VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "s"}}}}
	}
	env := func(p *corev1.Pod) {
		p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "E", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "s"}}}}}
	}
	pull := func(p *corev1.Pod) { p.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "s"}} }
	strict := account("default", func(sa *corev1.ServiceAccount) {
		sa.Annotations = map[string]string{enforceAnnotation: "true"}
		sa.Secrets = []corev1.ObjectReference{{Name: "other"}}
	})
	for name, tc := range map[string]struct {
		sa   *corev1.ServiceAccount
		pod  *corev1.Pod
		want string
	}{
		"no such account":     {account("default"), newPod(func(p *corev1.Pod) { p.Spec.ServiceAccountName = "x" }), `pods "web" is forbidden: error looking up service account shop/x: serviceaccount "x" not found`},
		"mirror":              {account("default"), newPod(mirror), ""},
		"mirror with account": {account("default"), newPod(mirror, func(p *corev1.Pod) { p.Spec.ServiceAccountName = "x" }), "a mirror pod may not reference service accounts"},
		"mirror with secret":  {account("default"), newPod(mirror, secret), "a mirror pod may not reference secrets"},
		"secret":              {account("default"), newPod(secret), ""},
		"strict volume":       {strict, newPod(secret), `volume with secret.secretName="s" is not allowed because service account default does not reference that secret`},
		"strict env":          {strict, newPod(env), `container c with envVar E referencing secret.secretName="s" is not allowed because service account default does not reference that secret`},
		"strict pull":         {strict, newPod(pull), `imagePullSecrets[0].name="s" is not allowed because service account default does not reference that imagePullSecret`},
	} {
		at.Check(t, name, create(t, newPlugin(t, tc.sa), tc.pod), tc.want)
		if _, m := tc.pod.Annotations[corev1.MirrorPodAnnotationKey]; m && tc.pod.Spec.Containers[0].VolumeMounts != nil {
			t.Errorf("%s: a mirror pod was changed", name)
		}
	}
}

// The account "default" of a new namespace appears a moment later.
func TestWaitsForDefaultAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		p := New(corelisters.NewServiceAccountLister(at.Indexer(t)), func(ctx context.Context, ns, name string) (*corev1.ServiceAccount, error) {
			if asked.Add(1) < 4 {
				return missing(ctx, ns, name)
			}
			return account(name), nil
		})
		at.Check(t, "create", create(t, p, newPod()), "")
		p = New(corelisters.NewServiceAccountLister(at.Indexer(t)), missing)
		at.Check(t, "never", create(t, p, newPod()), `serviceaccount "default" not found`)
	})
}
