package node

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// relation tells whether the object that r names belongs to r's node.
type relation func(a *Authorizer, ctx context.Context, r request) bool

// byPod tells by one of the node's pods in the object's namespace. Mirror pods count
// for nothing: a node makes them itself and must not gain by it.
func byPod(uses func(p *corev1.Pod, name string) bool) relation {
	return func(a *Authorizer, _ context.Context, r request) bool {
		return a.anyPod(r.node, r.GetNamespace(), func(p *corev1.Pod) bool {
			_, mirror := p.Annotations[corev1.MirrorPodAnnotationKey]
			return !mirror && uses(p, r.GetName())
		})
	}
}

func (a *Authorizer) anyPod(node, namespace string, f func(*corev1.Pod) bool) bool {
	// The only error is that of an unknown index.
	objs, _ := a.pods.ByIndex(nodeIndex, node)
	for _, o := range objs {
		if p, ok := o.(*corev1.Pod); ok && p.Namespace == namespace && f(p) {
			return true
		}
	}
	return false
}

var (
	usesConfigMap      = byPod(podUsesConfigMap)
	usesClaim          = byPod(podUsesClaim)
	usesResourceClaim  = byPod(podUsesResourceClaim)
	usesServiceAccount = byPod(func(p *corev1.Pod, name string) bool { return p.Spec.ServiceAccountName == name })
)

func isPod(a *Authorizer, _ context.Context, r request) bool {
	return a.anyPod(r.node, r.GetNamespace(), func(p *corev1.Pod) bool { return p.Name == r.GetName() })
}

// usesSecret looks at the pods first, then at the volumes bound to their claims.
func usesSecret(a *Authorizer, ctx context.Context, r request) bool {
	if byPod(podUsesSecret)(a, ctx, r) {
		return true
	}
	volumes, err := a.client.CoreV1().PersistentVolumes().List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return false
	}
	for i := range volumes.Items {
		v := &volumes.Items[i]
		if volumeUsesSecret(v, r.GetNamespace(), r.GetName()) && a.boundHere(v, r.node) {
			return true
		}
	}
	return false
}

func usesVolume(a *Authorizer, ctx context.Context, r request) bool {
	v, err := a.client.CoreV1().PersistentVolumes().Get(ctx, r.GetName(), metav1.GetOptions{})
	return err == nil && a.boundHere(v, r.node)
}

// boundHere tells whether a pod of the node uses the claim that v is bound to.
func (a *Authorizer) boundHere(v *corev1.PersistentVolume, node string) bool {
	c := v.Spec.ClaimRef
	return c != nil && a.anyPod(node, c.Namespace, func(p *corev1.Pod) bool {
		_, mirror := p.Annotations[corev1.MirrorPodAnnotationKey]
		return !mirror && podUsesClaim(p, c.Name)
	})
}

func hasAttachment(a *Authorizer, ctx context.Context, r request) bool {
	o, err := a.client.StorageV1().VolumeAttachments().Get(ctx, r.GetName(), metav1.GetOptions{})
	return err == nil && o.Spec.NodeName == r.node
}

func hasSlice(a *Authorizer, ctx context.Context, r request) bool {
	o, err := a.client.ResourceV1().ResourceSlices().Get(ctx, r.GetName(), metav1.GetOptions{})
	return err == nil && o.Spec.NodeName != nil && *o.Spec.NodeName == r.node
}

func hasPodCertificateRequest(a *Authorizer, ctx context.Context, r request) bool {
	o, err := a.client.CertificatesV1().PodCertificateRequests(r.GetNamespace()).Get(ctx, r.GetName(), metav1.GetOptions{})
	return err == nil && string(o.Spec.NodeName) == r.node
}
