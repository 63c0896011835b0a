package priority

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	schedulinglisters "k8s.io/client-go/listers/scheduling/v1"
	"k8s.io/utils/ptr"

	"skiff/server/admission"
	at "skiff/server/admission/admissiontest"
)

func class(name string, value int32, isDefault bool, policy *corev1.PreemptionPolicy) *schedulingv1.PriorityClass {
	return &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Value: value, GlobalDefault: isDefault, PreemptionPolicy: policy}
}

func newPlugin(t *testing.T, classes ...runtime.Object) *Plugin {
	t.Helper()
	return New(schedulinglisters.NewPriorityClassLister(at.Indexer(t, classes...)), func(_ context.Context, name string) (*schedulingv1.PriorityClass, error) {
		if name == "young" {
			return class(name, 7, false, nil), nil
		}
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "priorityclasses"}, name)
	})
}

func TestResolve(t *testing.T) {
	never, lower := ptr.To(corev1.PreemptNever), ptr.To(corev1.PreemptLowerPriority)
	high := class("high", 1000, false, never)
	for name, tc := range map[string]struct {
		classes []runtime.Object
		spec    corev1.PodSpec
		want    corev1.PodSpec
		err     string
	}{
		"no class, no default":    {nil, corev1.PodSpec{}, corev1.PodSpec{Priority: ptr.To[int32](0), PreemptionPolicy: lower}, ""},
		"no class, default":       {[]runtime.Object{class("d", 5, true, lower)}, corev1.PodSpec{}, corev1.PodSpec{PriorityClassName: "d", Priority: ptr.To[int32](5), PreemptionPolicy: lower}, ""},
		"two defaults, the lower": {[]runtime.Object{class("d", 5, true, lower), class("e", 4, true, lower)}, corev1.PodSpec{}, corev1.PodSpec{PriorityClassName: "e", Priority: ptr.To[int32](4), PreemptionPolicy: lower}, ""},
		"class":                   {[]runtime.Object{high}, corev1.PodSpec{PriorityClassName: "high"}, corev1.PodSpec{PriorityClassName: "high", Priority: ptr.To[int32](1000), PreemptionPolicy: never}, ""},
		"class newer than cache":  {nil, corev1.PodSpec{PriorityClassName: "young"}, corev1.PodSpec{PriorityClassName: "young", Priority: ptr.To[int32](7)}, ""},
		"no such class":           {nil, corev1.PodSpec{PriorityClassName: "x"}, corev1.PodSpec{}, `pods "p" is forbidden: no PriorityClass with name x was found`},
		"same number":             {[]runtime.Object{high}, corev1.PodSpec{PriorityClassName: "high", Priority: ptr.To[int32](1000)}, corev1.PodSpec{PriorityClassName: "high", Priority: ptr.To[int32](1000), PreemptionPolicy: never}, ""},
		"other number":            {[]runtime.Object{high}, corev1.PodSpec{PriorityClassName: "high", Priority: ptr.To[int32](1)}, corev1.PodSpec{}, "the integer value of priority (1) must not be provided in pod spec; priority admission controller computed 1000 from the given PriorityClass name"},
		"other policy":            {[]runtime.Object{high}, corev1.PodSpec{PriorityClassName: "high", PreemptionPolicy: lower}, corev1.PodSpec{}, "the string value of PreemptionPolicy (PreemptLowerPriority) must not be provided in pod spec; priority admission controller computed Never from the given PriorityClass name"},
	} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: tc.spec}
		at.Check(t, name, newPlugin(t, tc.classes...).Admit(t.Context(), at.Write(admission.Create, "pods", pod, nil, at.Bob())), tc.err)
		if tc.err != "" {
			continue
		}
		if pod.Spec.PriorityClassName != tc.want.PriorityClassName || *pod.Spec.Priority != *tc.want.Priority || ptr.Deref(pod.Spec.PreemptionPolicy, "") != ptr.Deref(tc.want.PreemptionPolicy, "") {
			t.Errorf("%s: %+v", name, pod.Spec)
		}
	}
}

func TestUpdateKeeps(t *testing.T) {
	old := &corev1.Pod{Spec: corev1.PodSpec{Priority: ptr.To[int32](3), PreemptionPolicy: ptr.To(corev1.PreemptNever)}}
	pod := &corev1.Pod{}
	at.Check(t, "update", newPlugin(t).Admit(t.Context(), at.Write(admission.Update, "pods", pod, old, at.Bob())), "")
	if ptr.Deref(pod.Spec.Priority, 0) != 3 || ptr.Deref(pod.Spec.PreemptionPolicy, "") != corev1.PreemptNever {
		t.Errorf("%+v", pod.Spec)
	}
}

func TestOneDefault(t *testing.T) {
	p := newPlugin(t, class("d", 5, true, nil))
	write := func(op admission.Operation, c *schedulingv1.PriorityClass) error {
		return p.Validate(t.Context(), at.Write(op, "priorityclasses.scheduling.k8s.io", c, nil, at.Bob()))
	}
	const second = "PriorityClass d is already marked as default. Only one default can exist"
	at.Check(t, "second", write(admission.Create, class("e", 1, true, nil)), second)
	at.Check(t, "made default", write(admission.Update, class("e", 1, true, nil)), second)
	at.Check(t, "the same", write(admission.Update, class("d", 5, true, nil)), "")
	at.Check(t, "not default", write(admission.Create, class("e", 1, false, nil)), "")
}
