// Package image makes sure that the images of containers are on the node, by
// their pull policies, with the pods' pull secrets, and with back-off for those
// that cannot be had.
package image

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/record"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"google.golang.org/grpc/status"

	"skiff/agent/backoff"
	"skiff/agent/container"
	"skiff/runtime/cri"
)

// The errors of Ensure; their texts are the reasons in a container's waiting
// state.
var (
	ErrImagePull        = errors.New("ErrImagePull")
	ErrImagePullBackOff = errors.New("ImagePullBackOff")
	ErrImageNeverPull   = errors.New("ErrImageNeverPull")
	ErrImageInspect     = errors.New("ImageInspectError")
	ErrInvalidImageName = errors.New("InvalidImageName")
	// ErrRegistryUnavailable and ErrSignatureValidation are what runtimes report
	// at the front of a pull's error (KEP-3542).
	ErrRegistryUnavailable = errors.New("RegistryUnavailable")
	ErrSignatureValidation = errors.New("SignatureValidationFailed")
)

// maxParallelPulls keeps a small box responsive while many pods start.
const maxParallelPulls = 3

// Manager pulls images. It is safe for concurrent use.
type Manager struct {
	images   cri.Images
	events   record.EventRecorder
	backoff  *backoff.Backoff
	slots    chan struct{}
	failures failures
}

// New returns a Manager that records its events with events.
func New(images cri.Images, events record.EventRecorder) *Manager {
	return &Manager{
		images: images, events: events,
		backoff: backoff.New(10*time.Second, 5*time.Minute),
		slots:   make(chan struct{}, maxParallelPulls),
	}
}

// Request says whose image to get.
type Request struct {
	Pod *corev1.Pod
	// Container is the name of the container, Image its image, or that of a
	// volume.
	Container, Image string
	Policy           corev1.PullPolicy
	Secrets          []*corev1.Secret
	Sandbox          *runtimeapi.PodSandboxConfig
	RuntimeHandler   string
}

// Ensure returns the image once it is on the node. An error wraps one of this
// package's, and its message explains it.
func (m *Manager) Ensure(ctx context.Context, r Request) (*runtimeapi.Image, error) {
	name, err := WithTag(r.Image)
	if err != nil {
		msg := fmt.Sprintf("Failed to apply default image tag %q: %v", r.Image, err)
		m.event(r, corev1.EventTypeWarning, "InspectFailed", msg)
		return nil, Error{ErrInvalidImageName, msg}
	}
	spec := &runtimeapi.ImageSpec{Image: name, UserSpecifiedImage: r.Image, RuntimeHandler: r.RuntimeHandler, Annotations: r.Pod.Annotations}
	if r.Policy == corev1.PullAlways {
		return m.pull(ctx, r, spec)
	}
	present, err := m.images.ImageStatus(ctx, &runtimeapi.ImageStatusRequest{Image: spec})
	if err != nil {
		msg := fmt.Sprintf("Failed to inspect image %q: %v", r.Image, err)
		m.event(r, corev1.EventTypeWarning, "InspectFailed", msg)
		return nil, Error{ErrImageInspect, msg}
	}
	switch {
	case present.GetImage() != nil:
		m.event(r, corev1.EventTypeNormal, "Pulled", fmt.Sprintf("Container image %q already present on machine and can be accessed by the pod", r.Image))
		return present.Image, nil
	case r.Policy == corev1.PullNever:
		msg := fmt.Sprintf("Container image %q is not present with pull policy of Never", r.Image)
		m.event(r, corev1.EventTypeWarning, "ErrImageNeverPull", msg)
		return nil, Error{ErrImageNeverPull, msg}
	}
	return m.pull(ctx, r, spec)
}

// Retry returns how long it is until the image may be pulled again.
func (m *Manager) Retry(r Request) time.Duration {
	return m.backoff.Remaining(key(r), time.Time{}, time.Now())
}

// Forget drops what is remembered about a pod's pulls.
func (m *Manager) Forget(pod *corev1.Pod) {
	m.backoff.ForgetPrefix(string(pod.UID) + "_")
	m.failures.forget(string(pod.UID) + "_")
}

func key(r Request) string { return string(r.Pod.UID) + "_" + r.Image }

func (m *Manager) pull(ctx context.Context, r Request, spec *runtimeapi.ImageSpec) (*runtimeapi.Image, error) {
	if m.Retry(r) > 0 {
		msg := fmt.Sprintf("Back-off pulling image %q", r.Image)
		m.event(r, corev1.EventTypeNormal, "BackOff", msg)
		if last := m.failures.get(key(r)); last != "" {
			msg += ": " + last
		}
		return nil, Error{ErrImagePullBackOff, msg}
	}
	m.event(r, corev1.EventTypeNormal, "Pulling", fmt.Sprintf("Pulling image %q", r.Image))
	queued := time.Now()
	select {
	case m.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-m.slots }()
	began := time.Now()
	img, err := m.pullWithSecrets(ctx, r, spec)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, m.failed(r, err)
	}
	m.backoff.Forget(key(r))
	m.failures.forget(key(r))
	now := time.Now()
	m.event(r, corev1.EventTypeNormal, "Pulled", fmt.Sprintf("Successfully pulled image %q in %v (%v including waiting). Image size: %v bytes.",
		r.Image, now.Sub(began).Truncate(time.Millisecond), now.Sub(queued).Truncate(time.Millisecond), img.GetSize()))
	return img, nil
}

// failed records a failed pull and returns the error to show.
func (m *Manager) failed(r Request, err error) error {
	m.event(r, corev1.EventTypeWarning, "Failed", fmt.Sprintf("Failed to pull image %q: %v", r.Image, err))
	m.backoff.Next(key(r), time.Time{}, time.Now())
	out := classify(r.Image, err)
	m.failures.set(key(r), fmt.Sprintf("%s: %s", out.Kind, out.Message))
	return out
}

func classify(image string, err error) Error {
	text := status.Convert(err).Message()
	if rest, ok := strings.CutPrefix(text, ErrRegistryUnavailable.Error()); ok {
		return Error{ErrRegistryUnavailable, fmt.Sprintf("image pull failed for %s because the registry is unavailable%s", image, rest)}
	}
	if rest, ok := strings.CutPrefix(text, ErrSignatureValidation.Error()); ok {
		return Error{ErrSignatureValidation, fmt.Sprintf("image pull failed for %s because the signature validation failed%s", image, rest)}
	}
	return Error{ErrImagePull, err.Error()}
}

// pullWithSecrets tries the credentials that match the image in turn, or none.
func (m *Manager) pullWithSecrets(ctx context.Context, r Request, spec *runtimeapi.ImageSpec) (*runtimeapi.Image, error) {
	credentials := lookup(spec.Image, r.Secrets)
	if len(credentials) == 0 {
		credentials = []*runtimeapi.AuthConfig{nil}
	}
	var errs []error
	for _, auth := range credentials {
		resp, err := m.images.PullImage(ctx, &runtimeapi.PullImageRequest{Image: spec, Auth: auth, SandboxConfig: r.Sandbox})
		if err != nil {
			errs = append(errs, err)
			continue
		}
		pulled, err := m.images.ImageStatus(ctx, &runtimeapi.ImageStatusRequest{Image: &runtimeapi.ImageSpec{Image: resp.ImageRef, RuntimeHandler: spec.RuntimeHandler}})
		if err != nil {
			return nil, err
		}
		if pulled.GetImage() == nil {
			return nil, fmt.Errorf("image %q is gone right after it was pulled", spec.Image)
		}
		return pulled.Image, nil
	}
	if len(errs) == 1 {
		return nil, errs[0]
	}
	return nil, errors.Join(errs...)
}

func (m *Manager) event(r Request, kind, reason, message string) {
	m.events.Event(container.Ref(r.Pod, r.Container), kind, reason, message)
}

// Error is why an image is not there.
type Error struct {
	// Kind is one of this package's errors.
	Kind    error
	Message string
}

func (e Error) Error() string { return e.Message }

// Unwrap returns the kind.
func (e Error) Unwrap() error { return e.Kind }
