package claimresize

import (
	"context"
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"skiff/server/admission"
	at "skiff/server/admission/admissiontest"
)

func TestValidate(t *testing.T) {
	claim := func(size, class string, phase corev1.PersistentVolumeClaimPhase) *corev1.PersistentVolumeClaim {
		return &corev1.PersistentVolumeClaim{
			Spec: corev1.PersistentVolumeClaimSpec{StorageClassName: &class, Resources: corev1.VolumeResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)}}},
			Status: corev1.PersistentVolumeClaimStatus{Phase: phase},
		}
	}
	p := New(func(_ context.Context, name string) (*storagev1.StorageClass, error) {
		switch name {
		case "grows":
			return &storagev1.StorageClass{AllowVolumeExpansion: ptr.To(true)}, nil
		case "fixed":
			return &storagev1.StorageClass{}, nil
		}
		return nil, errors.New("not found")
	})
	const refused = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"
	for name, tc := range map[string]struct {
		now, before *corev1.PersistentVolumeClaim
		want        string
	}{
		"same":    {claim("1Gi", "fixed", corev1.ClaimBound), claim("1Gi", "fixed", corev1.ClaimBound), ""},
		"grows":   {claim("2Gi", "grows", corev1.ClaimBound), claim("1Gi", "grows", corev1.ClaimBound), ""},
		"fixed":   {claim("2Gi", "fixed", corev1.ClaimBound), claim("1Gi", "fixed", corev1.ClaimBound), refused},
		"unknown": {claim("2Gi", "x", corev1.ClaimBound), claim("1Gi", "x", corev1.ClaimBound), refused},
		"static":  {claim("2Gi", "", corev1.ClaimBound), claim("1Gi", "", corev1.ClaimBound), refused},
		"pending": {claim("2Gi", "grows", corev1.ClaimPending), claim("1Gi", "grows", corev1.ClaimPending), "Only bound persistent volume claims can be expanded"},
	} {
		at.Check(t, name, p.Validate(t.Context(), at.Write(admission.Update, "persistentvolumeclaims", tc.now, tc.before, at.Bob())), tc.want)
	}
}
