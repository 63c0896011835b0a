package webhook

import (
	"context"
	"sync"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"skiff/server/admission"
)

// Validate implements admission.Validator. All hooks are asked at once; the first
// one in their order that refuses is the answer.
func (p *Validating) Validate(ctx context.Context, a *admission.Attributes) error {
	if p.exempt.has(a) {
		return nil
	}
	hooks, err := p.hooks.get(ctx)
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	if len(hooks) == 0 {
		return nil
	}
	w := newWrite(a)
	invocations, err := p.invocations(ctx, hooks, w)
	if err != nil || len(invocations) == 0 {
		return err
	}
	if ctx.Err() != nil {
		return apierrors.NewTimeoutError("request did not complete within requested timeout", 0)
	}
	answers, errs := p.askAll(ctx, invocations, w)
	for _, answer := range answers {
		if answer != nil {
			warn(w, answer)
		}
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// invocations returns the hooks that the write is for, and makes the views of it that
// they want.
func (p *Validating) invocations(ctx context.Context, hooks []*hook, w *write) (list []*invocation, err error) {
	for _, h := range hooks {
		inv, err := p.match.match(ctx, h, w)
		if err != nil {
			return nil, err
		}
		if inv == nil {
			continue
		}
		if _, err := w.as(inv.kind); err != nil {
			return nil, apierrors.NewInternalError(err)
		}
		list = append(list, inv)
	}
	return list, nil
}

func (p *Validating) askAll(ctx context.Context, list []*invocation, w *write) (answers []*admissionv1.AdmissionResponse, errs []error) {
	answers, errs = make([]*admissionv1.AdmissionResponse, len(list)), make([]error, len(list))
	var group sync.WaitGroup
	for i, inv := range list {
		view := w.views[inv.kind]
		group.Go(func() {
			begin := time.Now()
			var err error
			answers[i], err = p.caller.ask(ctx, inv, w, view)
			errs[i] = p.caller.judge(ctx, inv, w, time.Since(begin), err)
		})
	}
	group.Wait()
	return answers, errs
}
