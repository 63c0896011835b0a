package fake_test

import (
	"testing"

	"skiff/runtime/cri/critest"
	"skiff/runtime/cri/fake"
)

func TestCRI(t *testing.T) {
	rt := fake.New(fake.Options{Images: []string{"busybox"}})
	t.Cleanup(rt.Close)
	critest.Run(t, rt, rt, critest.Options{Image: "busybox"})
}
