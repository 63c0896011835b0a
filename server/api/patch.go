package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/mergepatch"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"

	"skiff/server/admission"
	"skiff/server/registry"
)

// maxPatchOperations bounds a JSON patch.
const maxPatchOperations = 10000

// patcher applies one patch, as often as it takes.
type patcher struct {
	c      *call
	typ    types.PatchType
	data   []byte
	strict strictness
	kind   schema.GroupVersionKind
	new    func() runtime.Object
}

func (c *call) patchType() (types.PatchType, error) {
	typ, _, _ := strings.Cut(c.r.Header.Get("Content-Type"), ";")
	supported := []types.PatchType{types.JSONPatchType, types.MergePatchType}
	if _, ok := c.endpoint.version.New().(runtime.Unstructured); !ok {
		supported = append(supported, types.StrategicMergePatchType)
	}
	for _, t := range supported {
		if string(t) == typ {
			return t, nil
		}
	}
	return "", errNoPatchType()
}

// errNoPatchType is what clients know of a patch in no form that the resource
// takes.
func errNoPatchType() error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusUnsupportedMediaType, Reason: metav1.StatusReasonUnsupportedMediaType,
		Message: "415: Unsupported Media Type", Details: &metav1.StatusDetails{},
	}}
}

// newPatcher reads the patch and its options.
func (c *call) newPatcher() (*patcher, *metav1.PatchOptions, error) {
	typ, err := c.patchType()
	if err != nil {
		return nil, nil, err
	}
	data, err := c.readBody()
	if err != nil {
		return nil, nil, err
	}
	opts, err := c.patchOptions(typ)
	if err != nil {
		return nil, nil, err
	}
	if !json.Valid(data) {
		return nil, nil, apierrors.NewBadRequest("invalid JSON patch")
	}
	p := &patcher{c: c, typ: typ, data: data, strict: validationOf(opts.FieldValidation), kind: c.endpoint.kind, new: c.endpoint.version.New}
	return p, opts, nil
}

// patch answers PATCH of an object, or of a subresource that is a part of it.
func (c *call) patch(rules *registry.Rules) error {
	p, opts, err := c.newPatcher()
	if err != nil {
		return err
	}
	o, err := c.negotiate(c.endpoint.serves)
	if err != nil {
		return err
	}
	dryRun := len(opts.DryRun) > 0
	hooks := c.hooks(admission.Update, c.info.Name, asUpdate(opts), dryRun)
	w, err := c.endpoint.store.Update(c.ctx, c.namespace(), c.info.Name, func(_ context.Context, old registry.Object) (registry.Object, error) {
		if old == nil {
			return nil, apierrors.NewNotFound(c.endpoint.gvr.GroupResource(), c.info.Name)
		}
		return p.object(old)
	}, hooks, registry.UpdateOptions{Rules: rules, DryRun: dryRun})
	if err != nil {
		return err
	}
	return c.respond(codeOf(w), o, storedOf(w))
}

// object returns the patched object in the type in memory.
func (p *patcher) object(old registry.Object) (registry.Object, error) {
	e := p.c.endpoint
	current, err := e.fromHub(old.DeepCopyObject().(registry.Object), true)
	if err != nil {
		return nil, err
	}
	out, err := p.apply(current)
	if err != nil {
		return nil, err
	}
	obj, err := e.toHub(out)
	if err != nil {
		return nil, err
	}
	return obj, p.c.checkTarget(obj)
}

// patchScale answers PATCH of scale.
func (c *call) patchScale() error {
	p, opts, err := c.newPatcher()
	if err != nil {
		return err
	}
	p.kind, p.new = scaleKind, newScale
	return c.scale(asUpdate(opts), func(_ context.Context, scale *autoscalingv1.Scale) (*autoscalingv1.Scale, error) {
		scale.SetGroupVersionKind(scaleKind)
		out, err := p.apply(scale)
		if err != nil {
			return nil, err
		}
		after := out.(*autoscalingv1.Scale)
		return after, c.checkTarget(after)
	})
}

// apply patches an object of the request's version, which has its kind set.
func (p *patcher) apply(current runtime.Object) (runtime.Object, error) {
	if p.typ == types.StrategicMergePatchType {
		return p.strategic(current)
	}
	js, err := json.Marshal(current)
	if err != nil {
		return nil, err
	}
	var patched []byte
	var faults []error
	if p.typ == types.JSONPatchType {
		patched, faults, err = p.jsonPatch(js)
	} else {
		patched, faults, err = p.mergePatch(js)
	}
	if err != nil {
		return nil, err
	}
	out := p.new()
	more, err := unmarshal(patched, out, p.strict)
	if err != nil {
		return nil, invalidPatch(string(patched), err)
	}
	if err := p.settle(func() string { return string(patched) }, append(faults, more...)); err != nil {
		return nil, err
	}
	gvk := out.GetObjectKind().GroupVersionKind()
	apiVersion, kind := gvk.ToAPIVersionAndKind()
	return out, target{gvk: p.kind, new: p.new}.check(apiVersion, kind)
}

// settle makes errors or warnings of what strict decoding found.
func (p *patcher) settle(value func() string, faults []error) error {
	switch {
	case len(faults) == 0 || p.strict.ignores():
		return nil
	case p.strict == metav1.FieldValidationWarn:
		p.c.warnStrict(faults)
		return nil
	}
	return invalidPatch(value(), runtime.NewStrictDecodingError(faults))
}

func invalidPatch(value string, err error) error {
	return apierrors.NewInvalid(schema.GroupKind{}, "", field.ErrorList{field.Invalid(field.NewPath("patch"), value, err.Error())})
}

type jsonPatchOp struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	From  string `json:"from"`
	Value any    `json:"value"`
}

func (p *patcher) jsonPatch(js []byte) ([]byte, []error, error) {
	var faults []error
	if !p.strict.ignores() {
		var ops []jsonPatchOp
		found, err := kjson.UnmarshalStrict(p.data, &ops)
		if err != nil {
			return nil, nil, apierrors.NewBadRequest(fmt.Sprintf("error decoding patch: %v", err))
		}
		for _, f := range found {
			faults = append(faults, fmt.Errorf("json patch %w", f))
		}
	}
	patch, err := jsonpatch.DecodePatch(p.data)
	if err != nil {
		return nil, nil, apierrors.NewBadRequest(err.Error())
	}
	if len(patch) > maxPatchOperations {
		return nil, nil, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("The allowed maximum operations in a JSON patch is %d, got %d", maxPatchOperations, len(patch)))
	}
	patched, err := patch.Apply(js)
	if err != nil {
		return nil, nil, unprocessable(err)
	}
	return patched, faults, nil
}

func unprocessable(err error) error {
	return apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "", schema.GroupResource{}, "", err.Error(), 0, false)
}

func (p *patcher) mergePatch(js []byte) ([]byte, []error, error) {
	var faults []error
	if !p.strict.ignores() {
		var err error
		if faults, err = kjson.UnmarshalStrict(p.data, &map[string]any{}); err != nil {
			return nil, nil, apierrors.NewBadRequest(fmt.Sprintf("error decoding patch: %v", err))
		}
	}
	patched, err := jsonpatch.MergePatch(js, p.data)
	if errors.Is(err, jsonpatch.ErrBadJSONPatch) {
		return nil, nil, apierrors.NewBadRequest(err.Error())
	}
	return patched, faults, err
}

func (p *patcher) strategic(current runtime.Object) (runtime.Object, error) {
	original, err := runtime.DefaultUnstructuredConverter.ToUnstructured(current)
	if err != nil {
		return nil, err
	}
	patch := map[string]any{}
	var faults []error
	if p.strict.ignores() {
		err = kjson.UnmarshalCaseSensitivePreserveInts(p.data, &patch)
	} else {
		faults, err = kjson.UnmarshalStrict(p.data, &patch)
	}
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	shown := func() string { return fmt.Sprintf("%+v", patch) }
	out := p.new()
	patched, err := strategicpatch.StrategicMergeMapPatch(original, patch, out)
	if err != nil {
		return nil, strategicError(err)
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(patched, out, !p.strict.ignores()); err != nil {
		strict, ok := runtime.AsStrictDecodingError(err)
		if !ok {
			return nil, invalidPatch(shown(), err)
		}
		faults = append(faults, strict.Errors()...)
	}
	return out, p.settle(shown, faults)
}

func strategicError(err error) error {
	for _, bad := range []error{
		mergepatch.ErrBadJSONDoc, mergepatch.ErrBadPatchFormatForPrimitiveList, mergepatch.ErrBadPatchFormatForRetainKeys,
		mergepatch.ErrBadPatchFormatForSetElementOrderList, mergepatch.ErrUnsupportedStrategicMergePatchFormat,
	} {
		if errors.Is(err, bad) {
			return apierrors.NewBadRequest(err.Error())
		}
	}
	if errors.Is(err, mergepatch.ErrNoListOfLists) || errors.Is(err, mergepatch.ErrPatchContentNotMatchRetainKeys) {
		return unprocessable(err)
	}
	return err
}
