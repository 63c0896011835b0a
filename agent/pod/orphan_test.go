package pod

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"skiff/runtime/cri"
)

// slowLook is a runtime in which something happens while the sandboxes are
// listed for the first time.
type slowLook struct {
	cri.Runtime
	meanwhile func()
}

func (r slowLook) ListPodSandbox(ctx context.Context, req *runtimeapi.ListPodSandboxRequest) (*runtimeapi.ListPodSandboxResponse, error) {
	resp, err := r.Runtime.ListPodSandbox(ctx, req)
	r.meanwhile()
	return resp, err
}

// TestObjectComesWhileLooking has the runtime tell of a pod before the API does:
// the object comes, as the last one, while the worker looks at the runtime. It
// is no orphan.
func TestObjectComesWhileLooking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.rt.Close()
		if err := w.create([]byte("metadata: {name: web}\nspec: {containers: [{name: main}]}\n")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.halt()
		pod, err := w.client.CoreV1().Pods("default").Get(t.Context(), "web", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}

		cfg := w.m.cfg
		var second *Manager
		cfg.Runtime = slowLook{w.rt, sync.OnceFunc(func() {
			second.Update(pod)
			second.Complete()
		})}
		second = NewManager(cfg)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			second.Run(ctx)
		}()
		second.worker(pod.UID).post(nil)
		synctest.Wait()
		cancel()
		<-done

		list, err := w.rt.ListContainers(t.Context(), &runtimeapi.ListContainersRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if len(list.Containers) != 1 || list.Containers[0].State != stateRunning {
			t.Errorf("the pod's containers: %v", list.Containers)
		}
	})
}
