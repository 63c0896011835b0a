package limitranger

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corelisters "k8s.io/client-go/listers/core/v1"

	"skiff/server/admission"
	at "skiff/server/admission/admissiontest"
)

func list(kv ...string) corev1.ResourceList {
	l := corev1.ResourceList{}
	for i := 0; i < len(kv); i += 2 {
		l[corev1.ResourceName(kv[i])] = resource.MustParse(kv[i+1])
	}
	return l
}

func newPlugin(t *testing.T, items ...corev1.LimitRangeItem) *Plugin {
	t.Helper()
	return New(corelisters.NewLimitRangeLister(at.Indexer(t, &corev1.LimitRange{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "limits"}, Spec: corev1.LimitRangeSpec{Limits: items},
	})))
}

func newPod(requests, limits corev1.ResourceList) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "p"}, Spec: corev1.PodSpec{Containers: []corev1.Container{
		{Name: "c", Resources: corev1.ResourceRequirements{Requests: requests, Limits: limits}},
	}}}
}

func TestDefaults(t *testing.T) {
	p := newPlugin(t, corev1.LimitRangeItem{Type: corev1.LimitTypeContainer, Default: list("cpu", "1", "memory", "1Gi"), DefaultRequest: list("cpu", "100m")})
	pod := newPod(nil, list("memory", "2Gi"))
	at.Check(t, "create", p.Admit(t.Context(), at.Write(admission.Create, "pods", pod, nil, at.Bob())), "")
	r := pod.Spec.Containers[0].Resources
	if r.Requests.Cpu().String() != "100m" || r.Limits.Cpu().String() != "1" || r.Limits.Memory().String() != "2Gi" {
		t.Errorf("%+v", r)
	}
	if got := pod.Annotations["kubernetes.io/limit-ranger"]; got != "LimitRanger plugin set: cpu request for container c; cpu limit for container c" {
		t.Errorf("annotation %q", got)
	}
}

func TestBounds(t *testing.T) {
	container := corev1.LimitRangeItem{Type: corev1.LimitTypeContainer, Min: list("cpu", "100m"), Max: list("cpu", "1"), MaxLimitRequestRatio: list("cpu", "4")}
	whole := corev1.LimitRangeItem{Type: corev1.LimitTypePod, Max: list("memory", "1Gi")}
	for name, tc := range map[string]struct {
		item             corev1.LimitRangeItem
		requests, limits corev1.ResourceList
		want             string
	}{
		"within":      {container, list("cpu", "250m"), list("cpu", "1"), ""},
		"no request":  {corev1.LimitRangeItem{Type: corev1.LimitTypeContainer, Min: list("cpu", "1")}, nil, nil, `pods "p" is forbidden: minimum cpu usage per Container is 1.  No request is specified`},
		"below":       {corev1.LimitRangeItem{Type: corev1.LimitTypeContainer, Min: list("cpu", "1")}, list("cpu", "10m"), nil, "minimum cpu usage per Container is 1, but request is 10m"},
		"no limit":    {corev1.LimitRangeItem{Type: corev1.LimitTypeContainer, Max: list("cpu", "1")}, list("cpu", "1"), nil, "maximum cpu usage per Container is 1.  No limit is specified"},
		"above":       {corev1.LimitRangeItem{Type: corev1.LimitTypeContainer, Max: list("cpu", "1")}, nil, list("cpu", "2"), "maximum cpu usage per Container is 1, but limit is 2"},
		"ratio":       {container, list("cpu", "200m"), list("cpu", "1"), "cpu max limit to request ratio per Container is 4, but provided ratio is 5.000000"},
		"pod above":   {whole, nil, list("memory", "2Gi"), "maximum memory usage per Pod is 1Gi, but limit is 2Gi"},
		"pod within":  {whole, nil, list("memory", "1Gi"), ""},
		"other kinds": {corev1.LimitRangeItem{Type: corev1.LimitTypePersistentVolumeClaim, Max: list("storage", "1Gi")}, nil, nil, ""},
	} {
		at.Check(t, name, newPlugin(t, tc.item).Validate(t.Context(), at.Write(admission.Create, "pods", newPod(tc.requests, tc.limits), nil, at.Bob())), tc.want)
	}
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "d"}, Spec: corev1.PersistentVolumeClaimSpec{Resources: corev1.VolumeResourceRequirements{Requests: list("storage", "2Gi")}}}
	p := newPlugin(t, corev1.LimitRangeItem{Type: corev1.LimitTypePersistentVolumeClaim, Max: list("storage", "1Gi")})
	at.Check(t, "claim", p.Validate(t.Context(), at.Write(admission.Create, "persistentvolumeclaims", claim, nil, at.Bob())), "maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi")
}
