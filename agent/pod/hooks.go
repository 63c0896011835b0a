package pod

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"skiff/agent/container"
	"skiff/agent/probe"
	"skiff/runtime/cri"
)

// postStart runs a container's hook; one that fails costs the container its life.
func (m *Manager) postStart(ctx context.Context, w *worker, r startRequest, id string) *startError {
	if r.container.Lifecycle == nil || r.container.Lifecycle.PostStart == nil {
		return nil
	}
	// The container runs already; let the status say what is known.
	w.post(func(w *worker) { w.stale = true })
	msg, err := m.runHook(ctx, r.pod, r.container, id, first(r.ips), r.container.Lifecycle.PostStart)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return &startError{retry: time.Second}
	}
	ref := container.Ref(r.pod, r.container.Name)
	m.cfg.Log.Debug("postStart hook failed", "pod", r.pod.Namespace+"/"+r.pod.Name, "container", r.container.Name, "err", err)
	m.cfg.Events.Event(ref, corev1.EventTypeWarning, "FailedPostStartHook", "PostStartHook failed")
	m.cfg.Events.Event(ref, corev1.EventTypeNormal, "Killing", "FailedPostStartHook")
	grace := int64(minGrace)
	if r.pod.Spec.TerminationGracePeriodSeconds != nil {
		grace = max(grace, *r.pod.Spec.TerminationGracePeriodSeconds)
	}
	if _, err := m.cfg.Runtime.StopContainer(ctx, &runtimeapi.StopContainerRequest{ContainerId: id, Timeout: grace}); err != nil {
		m.cfg.Log.Warn("cannot stop a container whose postStart hook failed", "pod", r.pod.Namespace+"/"+r.pod.Name, "container", r.container.Name, "err", err)
	}
	return &startError{wait: wait{reasonHookError, msg}}
}

func first(ips []string) string {
	if len(ips) == 0 {
		return ""
	}
	return ips[0]
}

// runHook runs a lifecycle handler. The message is for the status.
func (m *Manager) runHook(ctx context.Context, pod *corev1.Pod, c *corev1.Container, id, ip string, h *corev1.LifecycleHandler) (string, error) {
	where := fmt.Sprintf("for Container %q in Pod %q failed - error:", c.Name, container.Describe(pod))
	switch {
	case h.Exec != nil:
		code, out, err := executor{m.cfg.Runtime}.ExecSync(ctx, id, h.Exec.Command, 0)
		if err == nil && code != 0 {
			err = fmt.Errorf("command '%s' exited with %d: %s", joinWords(h.Exec.Command), code, out)
		}
		if err != nil {
			return fmt.Sprintf("Exec lifecycle hook (%v) %s %v, message: %q", h.Exec.Command, where, err, string(out)), err
		}
	case h.HTTPGet != nil:
		if err := httpHook(ctx, pod, c, ip, h.HTTPGet); err != nil {
			return fmt.Sprintf("HTTP lifecycle hook (%s) %s %v", h.HTTPGet.Path, where, err), err
		}
	case h.Sleep != nil:
		timer := time.NewTimer(time.Duration(h.Sleep.Seconds) * time.Second)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			err := errors.New("container terminated before sleep hook finished")
			return fmt.Sprintf("Sleep lifecycle hook (%d) %s %v", h.Sleep.Seconds, where, err), err
		}
	default:
		err := fmt.Errorf("invalid handler: %v", h)
		return fmt.Sprintf("Cannot run handler: %v", err), err
	}
	return "", nil
}

func httpHook(ctx context.Context, pod *corev1.Pod, c *corev1.Container, ip string, h *corev1.HTTPGetAction) error {
	req, err := probe.Request(ctx, pod, c.Name, ip, h)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "kube-lifecycle/1.37")
	resp, err := probe.Transport().RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	// Any answer will do: the hook was called.
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 10<<10))
	return err
}

// executor runs commands in containers for probes and hooks.
type executor struct{ runtime cri.Runtime }

// ExecSync implements probe.Executor; a timeout of 0 is none.
func (e executor) ExecSync(ctx context.Context, id string, cmd []string, timeout time.Duration) (int, []byte, error) {
	resp, err := e.runtime.ExecSync(ctx, &runtimeapi.ExecSyncRequest{ContainerId: id, Cmd: cmd, Timeout: int64(timeout / time.Second)})
	if status.Code(err) == codes.DeadlineExceeded {
		return 0, nil, fmt.Errorf("%w: %s", context.DeadlineExceeded, status.Convert(err).Message())
	}
	if err != nil {
		return 0, nil, err
	}
	return int(resp.ExitCode), append(resp.Stdout, resp.Stderr...), nil
}
