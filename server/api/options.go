package api

import (
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	ivalidation "k8s.io/apimachinery/pkg/apis/meta/internalversion/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry"
)

func invalidOptions(kind string, errs field.ErrorList) error {
	if len(errs) == 0 {
		return nil
	}
	return apierrors.NewInvalid(schema.GroupKind{Group: metav1.GroupName, Kind: kind}, "", errs)
}

func metaKind(kind string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: kind}
}

func validationOf(s string) strictness {
	if s == "" {
		return metav1.FieldValidationWarn
	}
	return strictness(s)
}

func (c *call) createOptions() (*metav1.CreateOptions, error) {
	o := &metav1.CreateOptions{}
	if c.values != nil {
		if err := metav1.Convert_url_Values_To_v1_CreateOptions(&c.values, o, nil); err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
	}
	o.TypeMeta = metaKind("CreateOptions")
	return o, invalidOptions("CreateOptions", validation.ValidateCreateOptions(o))
}

func (c *call) updateOptions() (*metav1.UpdateOptions, error) {
	o := &metav1.UpdateOptions{}
	if c.values != nil {
		if err := metav1.Convert_url_Values_To_v1_UpdateOptions(&c.values, o, nil); err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
	}
	o.TypeMeta = metaKind("UpdateOptions")
	return o, invalidOptions("UpdateOptions", validation.ValidateUpdateOptions(o))
}

func (c *call) patchOptions(typ types.PatchType) (*metav1.PatchOptions, error) {
	o := &metav1.PatchOptions{}
	if c.values != nil {
		if err := metav1.Convert_url_Values_To_v1_PatchOptions(&c.values, o, nil); err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
	}
	o.TypeMeta = metaKind("PatchOptions")
	return o, invalidOptions("PatchOptions", validation.ValidatePatchOptions(o, typ))
}

// asCreate and asUpdate are the options that admission sees.
func asCreate(o *metav1.UpdateOptions) *metav1.CreateOptions {
	return &metav1.CreateOptions{TypeMeta: metaKind("CreateOptions"), DryRun: o.DryRun, FieldManager: o.FieldManager, FieldValidation: o.FieldValidation}
}

func asUpdate(o *metav1.PatchOptions) *metav1.UpdateOptions {
	return &metav1.UpdateOptions{TypeMeta: metaKind("UpdateOptions"), DryRun: o.DryRun, FieldManager: o.FieldManager, FieldValidation: o.FieldValidation}
}

// deleteOptions come in the body, or else as parameters.
func (c *call) deleteOptions() (*metav1.DeleteOptions, error) {
	o := &metav1.DeleteOptions{}
	data, err := c.readBody()
	switch {
	case err != nil:
		return nil, err
	case len(data) > 0:
		t := target{gvk: schema.GroupVersionKind{Version: "v1", Kind: "DeleteOptions"}, others: true}
		t.new = newDeleteOptions
		obj, err := c.decode(data, t, metav1.FieldValidationIgnore)
		if err != nil {
			return nil, err
		}
		o = obj.(*metav1.DeleteOptions)
	case c.values != nil:
		if err := metav1.Convert_url_Values_To_v1_DeleteOptions(&c.values, o, nil); err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
	}
	o.IgnoreStoreReadErrorWithClusterBreakingPotential = nil
	o.TypeMeta = metaKind("DeleteOptions")
	return o, invalidOptions("DeleteOptions", validation.ValidateDeleteOptions(o))
}

// listOptions are the parameters of list, watch and deletecollection.
type listOptions struct {
	metav1.ListOptions
	selector registry.Selector
}

func (c *call) listOptions(watch bool) (listOptions, error) {
	var o listOptions
	if c.values != nil {
		if err := metav1.Convert_url_Values_To_v1_ListOptions(&c.values, &o.ListOptions, nil); err != nil {
			return o, apierrors.NewBadRequest(err.Error())
		}
	}
	if err := c.parseSelectors(&o); err != nil {
		return o, err
	}
	in := internalversion.ListOptions{
		Watch: watch, ResourceVersion: o.ResourceVersion, ResourceVersionMatch: o.ResourceVersionMatch,
		Continue: o.Continue, SendInitialEvents: o.SendInitialEvents, AllowWatchBookmarks: o.AllowWatchBookmarks,
	}
	internalversion.SetListOptionsDefaults(&in, true)
	o.SendInitialEvents, o.ResourceVersionMatch = in.SendInitialEvents, in.ResourceVersionMatch
	return o, invalidOptions("ListOptions", ivalidation.ValidateListOptions(&in, true))
}

func (c *call) parseSelectors(o *listOptions) error {
	var err error
	if o.LabelSelector != "" {
		if o.selector.Labels, err = labels.Parse(o.LabelSelector); err != nil {
			return apierrors.NewBadRequest(err.Error())
		}
	}
	if o.FieldSelector != "" {
		if o.selector.Fields, err = fields.ParseSelector(o.FieldSelector); err != nil {
			return apierrors.NewBadRequest(err.Error())
		}
		if err := c.endpoint.checkFields(o.selector.Fields); err != nil {
			return err
		}
	}
	if name := c.pathName(); name != "" {
		if o.selector.Fields == nil || o.selector.Fields.Empty() {
			o.selector.Fields = fields.OneTermEqualSelector("metadata.name", name)
		} else if n, ok := o.selector.Fields.RequiresExactMatch("metadata.name"); !ok || n != name {
			return apierrors.NewBadRequest("fieldSelector metadata.name doesn't match requested name")
		}
	}
	return nil
}

// pathName is the name in the path of a watch of one object.
func (c *call) pathName() string {
	if len(c.info.Parts) > 1 {
		return c.info.Parts[1]
	}
	return ""
}

// checkFields refuses field selectors that the resource does not know.
func (e *endpoint) checkFields(sel fields.Selector) error {
	for _, r := range sel.Requirements() {
		if !e.knowsField(r.Field) {
			if e.res.FieldNames == nil {
				return apierrors.NewBadRequest(fmt.Sprintf("%q is not a known field selector: only %q, %q", r.Field, "metadata.name", "metadata.namespace"))
			}
			return apierrors.NewBadRequest(fmt.Sprintf("field label not supported: %s", r.Field))
		}
	}
	return nil
}

func (e *endpoint) knowsField(name string) bool {
	switch name {
	case "metadata.name":
		return true
	case "metadata.namespace":
		// Kinds without a namespace know it only where they know nothing else.
		return e.res.Namespaced || e.res.FieldNames == nil
	}
	for _, f := range e.res.FieldNames {
		if f == name {
			return true
		}
	}
	return false
}
