package admission

import (
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Is tells whether the write is on the main resource, or with a subresource's name on
// that.
func (a *Attributes) Is(group, resource, subresource string) bool {
	return a.Resource.Resource == resource && a.Resource.Group == group && a.Subresource == subresource
}

// ObjectName returns the name in the request, or that of the new object: on create
// the name is only there.
func (a *Attributes) ObjectName() string {
	if a.Name != "" || a.Object == nil {
		return a.Name
	}
	if o, err := meta.Accessor(a.Object); err == nil {
		return o.GetName()
	}
	return ""
}

// Forbidden returns the API error (403) by which a plugin refuses the write because
// of err. An error that is one already is returned as it is.
func (a *Attributes) Forbidden(err error) error {
	if apierrors.IsForbidden(err) {
		return err
	}
	return apierrors.NewForbidden(a.groupResource(), a.nameInMessages(), err)
}

func (a *Attributes) groupResource() schema.GroupResource {
	return a.Resource.GroupResource()
}

// nameInMessages follows upstream: the prefix stands for a name that is not
// generated yet.
func (a *Attributes) nameInMessages() string {
	if a.Name != "" {
		return a.Name
	}
	if a.Object == nil {
		return "Unknown"
	}
	o, err := meta.Accessor(a.Object)
	switch {
	case err != nil:
		return "Unknown/errorGettingName"
	case o.GetName() != "":
		return o.GetName()
	case o.GetGenerateName() != "":
		return o.GetGenerateName()
	}
	return "Unknown"
}

// AddWarning adds a text to the response's warnings, if anybody listens.
func (a *Attributes) AddWarning(text string) {
	if a.Warn != nil {
		a.Warn(text)
	}
}
