package node

import (
	"context"
	"fmt"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// healthTimeout bounds the call that tells whether the runtime still answers.
const healthTimeout = 5 * time.Second

// Healthy returns what keeps the embedded runtime from answering: nothing on the
// node would start or end any more. One behind a socket is a process of its own,
// which is not mended by starting this one anew.
func (n *Node) Healthy() error {
	n.mu.Lock()
	runtime := n.embedded
	n.mu.Unlock()
	if runtime == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), healthTimeout)
	defer cancel()
	answered := make(chan error, 1)
	go func() {
		// What hangs does so for good: this goroutine, too, and it ends with the process.
		_, err := runtime.ListPodSandbox(ctx, &runtimeapi.ListPodSandboxRequest{})
		answered <- err
	}()
	var err error
	select {
	case err = <-answered:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("the container runtime does not answer: %w", err)
	}
	return nil
}
