package node

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"skiff/runtime/cri"
)

// asked is a runtime of which only the pods are asked for.
type asked struct {
	cri.Runtime
	answer func() error
}

func (a asked) ListPodSandbox(context.Context, *runtimeapi.ListPodSandboxRequest) (*runtimeapi.ListPodSandboxResponse, error) {
	return &runtimeapi.ListPodSandboxResponse{}, a.answer()
}

func TestHealthy(t *testing.T) {
	if err := (&Node{}).Healthy(); err != nil {
		t.Errorf("without an embedded runtime: %v", err)
	}
	for name, tc := range map[string]struct {
		answer error
		hangs  bool
		want   error
	}{
		"well":  {},
		"fails": {answer: errors.ErrUnsupported, want: errors.ErrUnsupported},
		"hangs": {hangs: true, want: context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				free := make(chan struct{})
				defer close(free)
				n := &Node{embedded: asked{answer: func() error {
					if tc.hangs {
						<-free // whatever its context says
					}
					return tc.answer
				}}}
				err := n.Healthy()
				if !errors.Is(err, tc.want) || err != nil && !strings.HasPrefix(err.Error(), "the container runtime does not answer: ") {
					t.Errorf("error %v, want %v", err, tc.want)
				}
			})
		})
	}
}
