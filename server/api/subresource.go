package api

import (
	"context"
	"strings"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/admission"
	"skiff/server/registry"
)

// createSub answers POST to a subresource (binding, eviction, token).
func (c *call) createSub() error {
	o, err := c.negotiate(nil)
	if err != nil {
		return err
	}
	opts, err := c.createOptions()
	if err != nil {
		return err
	}
	data, err := c.readBody()
	if err != nil {
		return err
	}
	kind := c.sub.Kind
	if kind.Empty() {
		kind = c.endpoint.kind
	}
	// policy/v1beta1 evictions and the like are of the same shape.
	obj, err := c.decode(data, target{gvk: kind, new: c.sub.New, others: true}, validationOf(opts.FieldValidation))
	if err != nil {
		return err
	}
	if m, ok := obj.(metav1.Object); ok {
		if err := registry.MatchNamespace(c.namespace(), m); err != nil {
			return err
		}
	}
	if err := c.admitPlain(admission.Create, c.info.Name, obj, opts, len(opts.DryRun) > 0); err != nil {
		return err
	}
	out, err := c.sub.Create(c.ctx, c.endpoint.store, c.namespace(), c.info.Name, obj, opts)
	if err != nil {
		return err
	}
	return c.respondTyped(201, o, out)
}

// connect hands the connection over to the subresource's own handler.
func (c *call) connect() error {
	if c.values.Has("dryRun") {
		return apierrors.NewBadRequest("dryRun is not supported")
	}
	path := strings.Join(c.info.Parts[3:], "/")
	if path != "" && strings.HasSuffix(c.info.Path, "/") {
		path += "/"
	}
	if c.sub.New != nil {
		options, err := connectOptions(c.values, path, c.sub)
		if err != nil {
			return err
		}
		if err := c.admitPlain(admission.Connect, c.info.Name, options, nil, false); err != nil {
			return err
		}
	}
	h, err := c.sub.Connect(c.endpoint.store, c.namespace(), c.info.Name, path)
	if err != nil {
		return err
	}
	h.ServeHTTP(c.w, c.r.WithContext(c.ctx))
	return nil
}

var scaleKind = autoscalingv1.SchemeGroupVersion.WithKind("Scale")

func newScale() runtime.Object { return &autoscalingv1.Scale{} }

func (c *call) respondScale(code int, o output, obj registry.Object) error {
	scale, err := c.sub.Scale.Get(obj)
	if err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	scale.SetGroupVersionKind(scaleKind)
	return c.respondObject(code, o, scale)
}

// getScale answers GET of scale.
func (c *call) getScale() error {
	o, err := c.negotiate(nil)
	if err != nil {
		return err
	}
	obj, err := c.endpoint.store.Get(c.ctx, c.namespace(), c.info.Name)
	if err != nil {
		return err
	}
	return c.respondScale(200, o, obj)
}

// updateScale answers PUT of scale.
func (c *call) updateScale() error {
	opts, err := c.updateOptions()
	if err != nil {
		return err
	}
	data, err := c.readBody()
	if err != nil {
		return err
	}
	in, err := c.decode(data, target{gvk: scaleKind, new: newScale, others: true}, validationOf(opts.FieldValidation))
	if err != nil {
		return err
	}
	scale := in.(*autoscalingv1.Scale)
	if err := c.checkTarget(scale); err != nil {
		return err
	}
	return c.scale(opts, func(context.Context, *autoscalingv1.Scale) (*autoscalingv1.Scale, error) {
		return scale.DeepCopy(), nil
	})
}

// scale changes an object's replica count to what change makes of its scale.
func (c *call) scale(opts *metav1.UpdateOptions, change func(context.Context, *autoscalingv1.Scale) (*autoscalingv1.Scale, error)) error {
	o, err := c.negotiate(nil)
	if err != nil {
		return err
	}
	dryRun := len(opts.DryRun) > 0
	w, err := c.endpoint.store.Update(c.ctx, c.namespace(), c.info.Name, func(ctx context.Context, old registry.Object) (registry.Object, error) {
		if old == nil {
			return nil, apierrors.NewNotFound(c.endpoint.gvr.GroupResource(), c.info.Name)
		}
		before, err := c.sub.Scale.Get(old)
		if err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		after, err := change(ctx, before.DeepCopy())
		if err != nil {
			return nil, err
		}
		if err := c.admitScale(opts, before, after, dryRun); err != nil {
			return nil, err
		}
		if err := c.checkScale(after); err != nil {
			return nil, err
		}
		obj := old.DeepCopyObject().(registry.Object)
		if after.ResourceVersion != "" {
			obj.SetResourceVersion(after.ResourceVersion)
		}
		c.sub.Scale.Set(obj, after.Spec.Replicas)
		return obj, nil
	}, registry.Hooks{}, registry.UpdateOptions{DryRun: dryRun})
	if err != nil {
		return err
	}
	return c.respondScale(200, o, w.Object)
}

func (c *call) admitScale(opts *metav1.UpdateOptions, before, after *autoscalingv1.Scale, dryRun bool) error {
	if len(c.s.cfg.Admission) == 0 {
		return nil
	}
	a := c.admissionAttributes(admission.Update, c.info.Name, opts, dryRun)
	a.Kind, a.Object, a.OldObject = scaleKind, after, before
	a.Versions = versions{c.s.routes.Load(), c.endpoint, scaleKind}
	if err := c.s.cfg.Admission.Admit(c.ctx, a); err != nil {
		return err
	}
	return c.s.cfg.Admission.Validate(c.ctx, a)
}

func (c *call) checkScale(s *autoscalingv1.Scale) error {
	if s.Spec.Replicas >= 0 {
		return nil
	}
	return apierrors.NewInvalid(schema.GroupKind{Group: "autoscaling", Kind: "Scale"}, s.Name, field.ErrorList{
		field.Invalid(field.NewPath("spec", "replicas"), s.Spec.Replicas, "must be greater than or equal to 0").WithOrigin("minimum"),
	})
}
