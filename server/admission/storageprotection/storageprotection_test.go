package storageprotection

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"skiff/server/admission"
	at "skiff/server/admission/admissiontest"
)

func TestAdmit(t *testing.T) {
	claim := &corev1.PersistentVolumeClaim{}
	for range 2 {
		at.Check(t, "claim", Plugin{}.Admit(t.Context(), at.Write(admission.Create, "persistentvolumeclaims", claim, nil, at.Bob())), "")
		if !slices.Equal(claim.Finalizers, []string{"kubernetes.io/pvc-protection"}) {
			t.Errorf("finalizers %v", claim.Finalizers)
		}
	}
	volume := &corev1.PersistentVolume{}
	at.Check(t, "volume", Plugin{}.Admit(t.Context(), at.Write(admission.Create, "persistentvolumes", volume, nil, at.Bob())), "")
	if !slices.Equal(volume.Finalizers, []string{"kubernetes.io/pv-protection"}) {
		t.Errorf("finalizers %v", volume.Finalizers)
	}
}
