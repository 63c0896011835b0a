package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "sigs.k8s.io/json"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"

	"skiff/server/admission"
)

// Admit implements admission.Mutator.
func (m *Mutating) Admit(ctx context.Context, a *admission.Attributes) error {
	if m.exempt.has(a) {
		return nil
	}
	hooks, err := m.hooks.get(ctx)
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	if len(hooks) == 0 {
		return nil
	}
	w, r := newWrite(a), roundsOf(a)
	r.begin(a)
	defer r.end(a)
	for _, h := range hooks {
		if err := m.admit(ctx, h, w, r); err != nil {
			return err
		}
	}
	return nil
}

// admit calls one hook, if the write is for it. One that was not called in the first
// round is not called in the second.
func (m *Mutating) admit(ctx context.Context, h *hook, w *write, r *rounds) error {
	inv, err := m.match.match(ctx, h, w)
	if err != nil || inv == nil || w.Reinvocation.Again && !r.again[h.id] {
		return err
	}
	v, err := w.as(inv.kind)
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	begin := time.Now()
	answer, err := m.caller.ask(ctx, inv, w, v)
	changed := false
	if err == nil {
		changed, err = m.apply(inv, w, v, answer)
	}
	if answer != nil {
		warn(w, answer)
	}
	if changed {
		r.changed(w.Attributes)
	}
	if h.reinvoked {
		r.called[h.id] = true
	}
	return m.caller.judge(ctx, inv, w, time.Since(begin), err)
}

// apply changes the object as a hook says, and tells whether that made a difference.
func (m *Mutating) apply(inv *invocation, w *write, v *view, answer *admissionv1.AdmissionResponse) (bool, error) {
	if len(answer.Patch) == 0 {
		return false, nil
	}
	patch, err := jsonpatch.DecodePatch(answer.Patch)
	switch {
	case err != nil:
		return false, &callError{inv.name, fmt.Errorf("received undecodable patch in webhook response: %w", err), 503}
	case len(patch) == 0:
		return false, nil
	case v.object == nil:
		return false, apierrors.NewInternalError(fmt.Errorf("admission webhook %q attempted to modify the object, which is not supported for this operation", inv.name))
	case *answer.PatchType != admissionv1.PatchTypeJSONPatch:
		return false, &callError{inv.name, fmt.Errorf("unsupported patch type %q", *answer.PatchType), 400}
	}
	now, err := patched(v.object, patch)
	if err != nil {
		return false, apierrors.NewInternalError(err)
	}
	if kind := kindOf(now, v.kind); kind != v.kind {
		return false, apierrors.NewInternalError(fmt.Errorf("admission webhook %q attempted to make a %s of a %s", inv.name, kind, v.kind))
	}
	changed := !apiequality.Semantic.DeepEqual(v.object, now)
	if err := w.replace(now, v.kind); err != nil {
		return false, apierrors.NewInternalError(err)
	}
	return changed, nil
}

// patched returns an object of its own.
func patched(obj runtime.Object, patch jsonpatch.Patch) (runtime.Object, error) {
	before, err := json.Marshal(obj)
	if err != nil {
		return nil, err
	}
	after, err := patch.Apply(before)
	if err != nil {
		return nil, err
	}
	now := reflect.New(reflect.TypeOf(obj).Elem()).Interface().(runtime.Object)
	return now, utiljson.UnmarshalCaseSensitivePreserveInts(after, now)
}

// kindOf is the kind that an object says it has, and of what it leaves out, that of
// another.
func kindOf(obj runtime.Object, other schema.GroupVersionKind) schema.GroupVersionKind {
	kind := obj.GetObjectKind().GroupVersionKind()
	if kind.Kind == "" {
		kind.Kind = other.Kind
	}
	if kind.GroupVersion().Empty() {
		kind.Group, kind.Version = other.Group, other.Version
	}
	return kind
}

func warn(w *write, answer *admissionv1.AdmissionResponse) {
	for _, text := range answer.Warnings {
		w.AddWarning(text)
	}
}
