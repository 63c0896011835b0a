package pod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"skiff/agent/container"
	"skiff/agent/image"
)

// Reasons of a waiting container.
const (
	reasonConfigError = "CreateContainerConfigError"
	reasonCreateError = "CreateContainerError"
	reasonRunError    = "RunContainerError"
	reasonHookError   = "PostStartHookError"
)

// retryStart is how long a start that failed for another reason than its image
// or a crash waits.
const retryStart = 10 * time.Second

// startRequest is a snapshot of what a start needs.
type startRequest struct {
	pod       *corev1.Pod
	container *corev1.Container
	sandbox   string
	attempt   uint32
	ips       []string
	restarts  int
	// dead are earlier containers of that name to be removed, all but the last.
	dead   []string
	target string
}

// startError is a failed start with its reason for the status.
type startError struct {
	wait
	image error
	retry time.Duration
}

// beginStart pulls the image, creates and starts the container, and runs its
// postStart hook.
func (w *worker) beginStart(c *corev1.Container, sandbox string) {
	r := startRequest{pod: w.pod, container: c, sandbox: sandbox, ips: w.podIPs()}
	if s := w.view.sandbox(sandbox); s != nil {
		r.attempt = s.Metadata.GetAttempt()
	}
	if last := w.view.latest(c.Name); last != nil {
		r.restarts = restartCount(last) + 1
	} else {
		r.restarts = w.m.cfg.Node.RestartsFromLogs(w.pod, c.Name)
	}
	seen := false
	for i := range w.view.containers {
		if one := &w.view.containers[i]; one.Metadata.GetName() == c.Name && one.State != stateRunning {
			if seen {
				r.dead = append(r.dead, one.Id)
			}
			seen = true
		}
	}
	for i := range w.pod.Spec.EphemeralContainers {
		e := &w.pod.Spec.EphemeralContainers[i]
		if e.Name == c.Name && e.TargetContainerName != "" {
			if target := w.view.latestIn(sandbox, e.TargetContainerName); target != nil {
				r.target = target.Id
			}
		}
	}
	m := w.m
	w.begin(opStart, c.Name, func(ctx context.Context) func(*worker) {
		err := m.startContainer(ctx, w, r)
		return func(w *worker) { w.endStart(c, err) }
	})
}

func restartCount(i *instance) int {
	if n, err := strconv.Atoi(i.Annotations[container.AnnotationRestartCount]); err == nil {
		return n
	}
	return int(i.Metadata.GetAttempt())
}

func (w *worker) endStart(c *corev1.Container, err *startError) {
	w.stale = true
	if err == nil {
		delete(w.waits, c.Name)
		return
	}
	if w.end != nil || w.m.ctx.Err() != nil {
		return
	}
	if err.reason != "" {
		w.waits[c.Name] = err.wait
	}
	w.retry(opStart+c.Name, err.retry)
}

// startContainer does the work of a start.
func (m *Manager) startContainer(ctx context.Context, w *worker, r startRequest) *startError {
	h, err := m.runtimeHandler(ctx, r.pod)
	if err != nil {
		return m.failedStart(r, reasonConfigError, err)
	}
	// The runtime wants to see again what the sandbox was made with.
	sandboxConfig, err := m.cfg.Node.Sandbox(r.pod, r.attempt, h.features)
	if err != nil {
		return m.failedStart(r, reasonConfigError, err)
	}
	img, volumes, failed := m.ensureImages(ctx, r, sandboxConfig, h.name)
	if failed != nil {
		return failed
	}
	cfg, err := m.cfg.Node.Container(ctx, container.Request{
		Pod: r.pod, Container: r.container, Restarts: r.restarts, PodIPs: r.ips, Image: img, Images: volumes,
		TargetID: r.target, RuntimeHandler: h.name, Features: h.features, Volumes: m.cfg.Volumes,
	})
	if err != nil {
		if ctx.Err() != nil {
			return &startError{retry: time.Second}
		}
		return m.failedStart(r, reasonConfigError, err)
	}
	for _, id := range r.dead {
		m.removeContainer(ctx, r.pod, id)
	}
	created, err := m.cfg.Runtime.CreateContainer(ctx, &runtimeapi.CreateContainerRequest{PodSandboxId: r.sandbox, Config: cfg, SandboxConfig: sandboxConfig})
	if err != nil {
		if ctx.Err() != nil {
			return &startError{retry: time.Second}
		}
		return m.failedStart(r, reasonCreateError, err)
	}
	m.cfg.Events.Event(container.Ref(r.pod, r.container.Name), corev1.EventTypeNormal, "Created", "Container created")
	if _, err := m.cfg.Runtime.StartContainer(ctx, &runtimeapi.StartContainerRequest{ContainerId: created.ContainerId}); err != nil {
		e := m.failedStart(r, reasonRunError, err)
		e.retry = 0 // the crash loop's back-off counts from here
		return e
	}
	m.cfg.Events.Event(container.Ref(r.pod, r.container.Name), corev1.EventTypeNormal, "Started", "Container started")
	return m.postStart(ctx, w, r, created.ContainerId)
}

// failedStart records a start that failed.
func (m *Manager) failedStart(r startRequest, reason string, err error) *startError {
	msg := status.Convert(err).Message()
	if _, isStatus := status.FromError(err); !isStatus {
		msg = err.Error()
	}
	m.cfg.Events.Event(container.Ref(r.pod, r.container.Name), corev1.EventTypeWarning, "Failed", "Error: "+msg)
	return &startError{wait: wait{reason, msg}, retry: retryStart}
}

// ensureImages gets the container's image and those of its image volumes, the
// latter by the volumes' names.
func (m *Manager) ensureImages(ctx context.Context, r startRequest, sandbox *runtimeapi.PodSandboxConfig, handler string) (*runtimeapi.Image, map[string]*runtimeapi.Image, *startError) {
	secrets := m.pullSecrets(ctx, r.pod)
	req := image.Request{
		Pod: r.pod, Container: r.container.Name, Image: r.container.Image, Policy: r.container.ImagePullPolicy,
		Secrets: secrets, Sandbox: sandbox, RuntimeHandler: handler,
	}
	img, failed := m.ensureImage(ctx, r, req)
	if failed != nil {
		return nil, nil, failed
	}
	volumes := map[string]*runtimeapi.Image{}
	for i := range r.container.VolumeMounts {
		for j := range r.pod.Spec.Volumes {
			v := &r.pod.Spec.Volumes[j]
			if v.Name == r.container.VolumeMounts[i].Name && v.Image != nil {
				req.Image, req.Policy = v.Image.Reference, v.Image.PullPolicy
				if volumes[v.Name], failed = m.ensureImage(ctx, r, req); failed != nil {
					return nil, nil, failed
				}
			}
		}
	}
	return img, volumes, nil
}

func (m *Manager) ensureImage(ctx context.Context, r startRequest, req image.Request) (*runtimeapi.Image, *startError) {
	img, err := m.cfg.Images.Ensure(ctx, req)
	if err == nil {
		return img, nil
	}
	var known image.Error
	if ctx.Err() != nil || !errors.As(err, &known) {
		return nil, &startError{retry: time.Second}
	}
	m.cfg.Events.Event(container.Ref(r.pod, r.container.Name), corev1.EventTypeWarning, "Failed", "Error: "+known.Kind.Error())
	e := &startError{wait: wait{known.Kind.Error(), known.Message}, image: known.Kind, retry: retryStart}
	switch {
	case errors.Is(err, image.ErrImagePullBackOff):
		e.retry = m.cfg.Images.Retry(req)
	case m.cfg.Images.Retry(req) > 0:
		e.retry = 2 * time.Second // then it shows as a back-off
	}
	return nil, e
}

// pullSecrets reads those of the pod's pull secrets that exist.
func (m *Manager) pullSecrets(ctx context.Context, pod *corev1.Pod) []*corev1.Secret {
	var out []*corev1.Secret
	var missing []string
	for _, ref := range pod.Spec.ImagePullSecrets {
		if ref.Name == "" {
			continue
		}
		s, err := m.cfg.Objects.Secret(ctx, pod.Namespace, ref.Name)
		if err != nil {
			missing = append(missing, ref.Name)
			continue
		}
		out = append(out, s)
	}
	if len(missing) > 0 && ctx.Err() == nil {
		m.cfg.Events.Event(podRef(pod), corev1.EventTypeWarning, "FailedToRetrieveImagePullSecret",
			fmt.Sprintf("Unable to retrieve some image pull secrets (%s); attempting to pull the image may not succeed.", join(missing)))
	}
	return out
}

// removeContainer removes a dead container and its logs.
func (m *Manager) removeContainer(ctx context.Context, pod *corev1.Pod, id string) {
	resp, err := m.cfg.Runtime.ContainerStatus(ctx, &runtimeapi.ContainerStatusRequest{ContainerId: id})
	if err == nil && resp.Status.GetLogPath() != "" {
		removeLogs(resp.Status.LogPath)
	}
	if _, err := m.cfg.Runtime.RemoveContainer(ctx, &runtimeapi.RemoveContainerRequest{ContainerId: id}); err != nil && !isNotFound(err) {
		m.cfg.Log.Warn("cannot remove a dead container", "pod", pod.Namespace+"/"+pod.Name, "container", id, "err", err)
	}
}

// removeLogs removes a log and what was rotated out of it.
func removeLogs(path string) {
	os.Remove(path)
	rotated, _ := filepath.Glob(path + ".*")
	for _, name := range rotated {
		os.Remove(name)
	}
}
