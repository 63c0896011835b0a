package api

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"skiff/server/admission"
	"skiff/server/registry"
)

// hooks make admission of a write; options are the verb's.
func (c *call) hooks(op admission.Operation, name string, options runtime.Object, dryRun bool) registry.Hooks {
	if len(c.s.cfg.Admission) == 0 {
		return registry.Hooks{}
	}
	attrs := func(obj, old registry.Object) *admission.Attributes {
		a := c.admissionAttributes(op, name, options, dryRun)
		if obj != nil {
			a.Object = obj
			if a.Name == "" {
				a.Name = obj.GetName()
			}
		}
		if old != nil {
			a.OldObject = old
		}
		return a
	}
	return registry.Hooks{
		Admit: func(ctx context.Context, obj, old registry.Object) error {
			return c.s.cfg.Admission.Admit(ctx, attrs(obj, old))
		},
		Validate: func(ctx context.Context, obj, old registry.Object) error {
			a := attrs(obj, old)
			if op == admission.Delete {
				if err := c.s.cfg.Admission.Admit(ctx, a); err != nil {
					return err
				}
			}
			return c.s.cfg.Admission.Validate(ctx, a)
		},
	}
}

func (c *call) admissionAttributes(op admission.Operation, name string, options runtime.Object, dryRun bool) *admission.Attributes {
	namespace := c.info.Namespace
	if !c.endpoint.res.Namespaced && c.info.Resource == "namespaces" && c.info.APIGroup == "" {
		namespace = name
	}
	kind := c.endpoint.kind
	if c.sub != nil && !c.sub.Kind.Empty() {
		kind = c.sub.Kind
	}
	return &admission.Attributes{
		Operation: op, Kind: kind, Resource: c.endpoint.gvr, Subresource: c.info.Subresource,
		Namespace: namespace, Name: name, Options: options, User: c.user, DryRun: dryRun,
		Warn:     func(text string) { c.warnings.AddWarning("", text) },
		Versions: versions{c.s.routes.Load(), c.endpoint, kind},
	}
}

// namespace is the namespace that objects of the request are in.
func (c *call) namespace() string {
	if !c.endpoint.res.Namespaced {
		return ""
	}
	return c.info.Namespace
}

// create answers POST of an object.
func (c *call) create() error {
	o, err := c.negotiate(c.endpoint.serves)
	if err != nil {
		return err
	}
	opts, err := c.createOptions()
	if err != nil {
		return err
	}
	if c.endpoint.res.Create != nil {
		return c.review(o, opts)
	}
	obj, err := c.decodeBody(validationOf(opts.FieldValidation))
	if err != nil {
		return err
	}
	if err := registry.MatchNamespace(c.namespace(), obj); err != nil {
		return err
	}
	dryRun := len(opts.DryRun) > 0
	w, err := c.endpoint.store.Create(c.ctx, obj, c.hooks(admission.Create, obj.GetName(), opts, dryRun), dryRun)
	if err != nil {
		return err
	}
	return c.respond(201, o, storedOf(w))
}

func storedOf(w registry.Written) stored {
	return stored{value: w.Value, revision: w.Revision, obj: w.Object}
}

// review answers a create that stores nothing.
func (c *call) review(o output, opts *metav1.CreateOptions) error {
	data, err := c.readBody()
	if err != nil {
		return err
	}
	e := c.endpoint
	obj, err := c.decode(data, target{gvk: e.kind, new: e.version.New}, validationOf(opts.FieldValidation))
	if err != nil {
		return err
	}
	if m, ok := obj.(metav1.Object); ok {
		if err := registry.MatchNamespace(c.namespace(), m); err != nil {
			return err
		}
	}
	if err := c.admitPlain(admission.Create, "", obj, opts, len(opts.DryRun) > 0); err != nil {
		return err
	}
	out, err := e.res.Create(c.ctx, obj, opts)
	if err != nil {
		return err
	}
	return c.respondTyped(201, o, out)
}

// admitPlain makes admission of an object that is not stored.
func (c *call) admitPlain(op admission.Operation, name string, obj, options runtime.Object, dryRun bool) error {
	if len(c.s.cfg.Admission) == 0 {
		return nil
	}
	a := c.admissionAttributes(op, name, options, dryRun)
	a.Object = obj
	if err := c.s.cfg.Admission.Admit(c.ctx, a); err != nil {
		return err
	}
	return c.s.cfg.Admission.Validate(c.ctx, a)
}

// respondTyped writes what a review or subresource returned: a Status, or an
// object of the kind that was asked for, or of the resource.
func (c *call) respondTyped(code int, o output, obj runtime.Object) error {
	o.shape = whole
	kind := c.endpoint.kind
	if c.sub != nil && !c.sub.Kind.Empty() {
		kind = c.sub.Kind
	}
	switch obj := obj.(type) {
	case nil:
		return apierrors.NewInternalError(errNoAnswer)
	case *metav1.Status:
		obj.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
		if code == 201 && obj.Code == 0 {
			obj.Code = int32(code)
		}
		return c.respondObject(code, o, obj)
	default:
		if obj.GetObjectKind().GroupVersionKind().Empty() {
			obj.GetObjectKind().SetGroupVersionKind(kind)
		}
		return c.respondObject(code, o, obj)
	}
}
