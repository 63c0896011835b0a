package api

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"skiff/server/admission"
	"skiff/server/registry"
)

var errNoAnswer = errors.New("the resource's handler returned nothing")

// update answers PUT of an object, or of a subresource that is a part of it.
func (c *call) update(store *registry.Store, rules *registry.Rules) error {
	o, err := c.negotiate(c.endpoint.serves)
	if err != nil {
		return err
	}
	opts, err := c.updateOptions()
	if err != nil {
		return err
	}
	in, err := c.decodeBody(validationOf(opts.FieldValidation))
	if err != nil {
		return err
	}
	if err := c.checkTarget(in); err != nil {
		return err
	}
	dryRun := len(opts.DryRun) > 0
	used := false
	change := func(context.Context, registry.Object) (registry.Object, error) {
		if !used && in.GetResourceVersion() != "" {
			// Never asked a second time: a conflict is final.
			used = true
			return in, nil
		}
		return in.DeepCopyObject().(registry.Object), nil
	}
	w, err := store.Update(c.ctx, c.namespace(), c.info.Name, change, c.hooks(admission.Update, c.info.Name, opts, dryRun), registry.UpdateOptions{
		Rules: rules, UID: in.GetUID(), DryRun: dryRun,
		Creating: c.mayCreate, CreateHooks: c.hooks(admission.Create, c.info.Name, asCreate(opts), dryRun),
	})
	if err != nil {
		return err
	}
	return c.respond(codeOf(w), o, storedOf(w))
}

func codeOf(w registry.Written) int {
	if w.Created {
		return 201
	}
	return 200
}

// checkTarget compares an object with the path that it was sent to.
func (c *call) checkTarget(obj metav1.Object) error {
	if err := registry.MatchNamespace(c.namespace(), obj); err != nil {
		return err
	}
	if obj.GetName() == "" {
		return apierrors.NewBadRequest(fmt.Sprintf("the name of the object (%s based on URL) was undeterminable: name must be provided", c.info.Name))
	}
	if obj.GetName() != c.info.Name {
		return apierrors.NewBadRequest(fmt.Sprintf("the name of the object (%s) does not match the name on the URL (%s)", obj.GetName(), c.info.Name))
	}
	return nil
}

// mayCreate tells whether the user may create what an update found missing.
func (c *call) mayCreate(context.Context) error {
	a := c.attributes()
	a.Verb = "create"
	return c.allow(a)
}
