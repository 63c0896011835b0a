package check

import (
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

func TestStandardFinalizer(t *testing.T) {
	for name, ok := range map[string]bool{"foregroundDeletion": true, "orphan": true, "kubernetes": true, "a.b/c": true, "foo": false, "a b": false} {
		if errs := StandardFinalizer(name, field.NewPath("f")); (len(errs) == 0) != ok {
			t.Errorf("%s: %v", name, errs)
		}
	}
}
