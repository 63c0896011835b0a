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
	// Versions show the object as it is served.
	Versions Versions
	// Reinvocation is for what changes objects from outside of the server.
	Reinvocation Reinvocation
}

// Versions convert between a resource's in-memory version and those that it is
// served in.
type Versions interface {
	// Equivalents returns the other groups and versions that serve the objects.
	Equivalents() []Equivalent
	// Convert returns a copy of an object in the version of a kind, which it tells.
	Convert(obj runtime.Object, kind schema.GroupVersionKind) (runtime.Object, error)
	// Adopt is the way back. What the object leaves out is filled with defaults; it may
	// be modified.
	Adopt(obj runtime.Object, kind schema.GroupVersionKind) (runtime.Object, error)
}

// Equivalent is another way to the same objects.
type Equivalent struct {
	Resource schema.GroupVersionResource
	Kind     schema.GroupVersionKind
}

// Reinvocation lets Mutators see a write once more, if one behind them has changed it
// from outside of the server (KEP-1027).
type Reinvocation struct {
	// Wanted is set by the one that changed it.
	Wanted bool
	// Again tells that this is the second time; there is no third.
	Again bool
	// Notes are what the one who sets Wanted remembers of the first time.
	Notes any
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

// Admit lets each Mutator admit a in order, up to the first error, and all of them
// once more if that is wanted.
func (c Chain) Admit(ctx context.Context, a *Attributes) error {
	if err := c.admit(ctx, a); err != nil || !a.Reinvocation.Wanted {
		return err
	}
	a.Reinvocation.Again = true
	return c.admit(ctx, a)
}

func (c Chain) admit(ctx context.Context, a *Attributes) error {
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
