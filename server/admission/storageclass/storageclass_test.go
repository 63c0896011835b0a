package storageclass

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"skiff/server/admission"
	at "skiff/server/admission/admissiontest"
)

func TestAdmit(t *testing.T) {
	class := func(name string, second int64, isDefault string) storagev1.StorageClass {
		return storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(time.Unix(second, 0)),
			Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": isDefault}}}
	}
	for name, tc := range map[string]struct {
		classes []storagev1.StorageClass
		have    *string
		want    string
	}{
		"no default":     {[]storagev1.StorageClass{class("a", 1, "false")}, nil, ""},
		"default":        {[]storagev1.StorageClass{class("a", 1, "false"), class("b", 1, "true")}, nil, "b"},
		"newest":         {[]storagev1.StorageClass{class("a", 1, "true"), class("b", 3, "true"), class("c", 2, "true")}, nil, "b"},
		"same age":       {[]storagev1.StorageClass{class("b", 1, "true"), class("a", 1, "true")}, nil, "a"},
		"named":          {[]storagev1.StorageClass{class("b", 1, "true")}, ptr.To("x"), "x"},
		"none on demand": {[]storagev1.StorageClass{class("b", 1, "true")}, ptr.To(""), ""},
	} {
		p := New(func(context.Context) ([]storagev1.StorageClass, error) { return tc.classes, nil })
		claim := &corev1.PersistentVolumeClaim{Spec: corev1.PersistentVolumeClaimSpec{StorageClassName: tc.have}}
		at.Check(t, name, p.Admit(t.Context(), at.Write(admission.Create, "persistentvolumeclaims", claim, nil, at.Bob())), "")
		if got := ptr.Deref(claim.Spec.StorageClassName, ""); got != tc.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}
