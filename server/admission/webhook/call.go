package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/uuid"
	webhookerrors "k8s.io/apiserver/pkg/admission/plugin/webhook/errors"
)

// caller calls hooks.
type caller struct {
	log     *slog.Logger
	metrics *Metrics
}

// callError is that a hook could not be asked, or answered nonsense; the failure
// policy says what becomes of it.
type callError struct {
	hook string
	err  error
	// code is what metrics tell of it, an HTTP status.
	code int
}

// Error implements error. The text is upstream's.
func (e *callError) Error() string {
	return fmt.Sprintf("failed calling webhook %q: %v", e.hook, e.err)
}

// Unwrap implements errors.Unwrap.
func (e *callError) Unwrap() error { return e.err }

// refusal is that a hook said no.
type refusal struct{ *apierrors.StatusError }

// Unwrap implements errors.Unwrap.
func (r refusal) Unwrap() error { return r.StatusError }

// ask asks a hook about a write. It returns an answer that allows it, a refusal, a
// *callError, or the API error of a dry run that the hook must not see.
func (c *caller) ask(ctx context.Context, inv *invocation, w *write, v *view) (*admissionv1.AdmissionResponse, error) {
	if w.DryRun && !inv.quiet {
		return nil, webhookerrors.NewDryRunUnsupportedErr(inv.name)
	}
	sent, err := request(inv, w, v, uuid.NewUUID())
	if err != nil {
		return nil, &callError{inv.name, fmt.Errorf("could not create admission objects: %w", err), 400}
	}
	way, err := inv.connect()
	if err != nil {
		return nil, &callError{inv.name, fmt.Errorf("could not get REST client: %w", err), 500}
	}
	if inv.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, inv.timeout)
		defer cancel()
	}
	var got admissionv1.AdmissionReview
	if err := way.post(ctx, sent, &got); err != nil {
		code := 503
		if status := apierrors.APIStatus(nil); errors.As(err, &status) {
			code = int(status.Status().Code)
		}
		return nil, &callError{inv.name, fmt.Errorf("failed to call webhook: %w", err), code}
	}
	answer, err := verify(&got, sent, inv.mutates)
	if err != nil {
		return nil, &callError{inv.name, fmt.Errorf("received invalid webhook response: %w", err), 503}
	}
	if !answer.Allowed {
		return answer, refusal{webhookerrors.ToStatusErr(inv.name, answer.Result)}
	}
	return answer, nil
}

// judge makes of the outcome of a call the API error that the client gets, nil if
// the write goes on, and counts it.
func (c *caller) judge(ctx context.Context, inv *invocation, w *write, took time.Duration, err error) error {
	var failed *callError
	var refused refusal
	switch {
	case err == nil:
		c.metrics.observe(inv, w, took, 200, "")
		return nil
	case errors.As(err, &refused):
		c.metrics.observe(inv, w, took, int(refused.ErrStatus.Code), "no_error")
		return refused.StatusError
	case !errors.As(err, &failed):
		c.metrics.observe(inv, w, took, 0, "apiserver_internal_error")
		return err
	case !inv.ignoreFailure:
		c.metrics.observe(inv, w, took, failed.code, "calling_webhook_error")
		return apierrors.NewInternalError(failed)
	}
	c.metrics.observe(inv, w, took, failed.code, "")
	if ctx.Err() != nil {
		return apierrors.NewTimeoutError("request did not complete within requested timeout", 0)
	}
	c.metrics.failOpen(inv)
	c.log.Warn("a webhook failed, and the write goes on as its failurePolicy is Ignore", "webhook", inv.name, "resource", w.Resource.GroupResource().String(), "err", failed.err)
	return nil
}
