// Package admission runs the ordered list of admission plugins on each write
// between authorization and storage. Each plugin is a package of its own below
// this one.
package admission

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"
)

// Operation is what a request does to its object.
type Operation string

// The operations, as admission webhooks know them.
const (
	Create  Operation = "CREATE"
	Update  Operation = "UPDATE"
	Delete  Operation = "DELETE"
	Connect Operation = "CONNECT"
)

// Attributes describe one write.
type Attributes struct {
	Operation   Operation
	Kind        schema.GroupVersionKind
	Resource    schema.GroupVersionResource
	Subresource string
	Namespace   string
	Name        string
	// Object is the new object (nil on delete); Admit may modify it in place. It
	// is of the resource's in-memory version.
	Object runtime.Object
	// OldObject is the object before (nil on create); read-only.
	OldObject runtime.Object
	// Options are the verb's options (*metav1.CreateOptions, ...).
	Options runtime.Object
	User    user.Info
	DryRun  bool
	// Warn adds a text to the response's Warning headers.
	Warn func(text string)
}

// Plugin is one admission plugin; it is a Mutator, a Validator or both.
type Plugin interface {
	// Name is the plugin's name as upstream knows it ("NamespaceLifecycle").
	Name() string
}

// Mutator changes objects before they are validated.
type Mutator interface {
	Plugin
	// Admit may modify a.Object, or returns an API status error (apierrors) that
	// becomes the response.
	Admit(ctx context.Context, a *Attributes) error
}

// Validator accepts or refuses objects after all mutation.
type Validator interface {
	Plugin
	// Validate returns an API status error to refuse.
	Validate(ctx context.Context, a *Attributes) error
}

// Chain is an ordered list of plugins.
type Chain []Plugin

// Admit lets each Mutator admit a in order, up to the first error.
func (c Chain) Admit(ctx context.Context, a *Attributes) error {
	for _, p := range c {
		if m, ok := p.(Mutator); ok {
			if err := m.Admit(ctx, a); err != nil {
				return err
			}
		}
	}
	return nil
}

// Validate lets each Validator validate a in order, up to the first error.
func (c Chain) Validate(ctx context.Context, a *Attributes) error {
	for _, p := range c {
		if v, ok := p.(Validator); ok {
			if err := v.Validate(ctx, a); err != nil {
				return err
			}
		}
	}
	return nil
}
