package objects

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime"
)

// Memory keeps the objects that a Watched follows for when the API server does not
// answer, also beyond this process.
type Memory interface {
	// Keep keeps an object as it is now; nil is that it does not exist.
	Keep(secret bool, namespace, name string, obj runtime.Object)
	// Drop forgets an object.
	Drop(secret bool, namespace, name string)
	// Ask calls fn, which asks the server, and returns what is kept if it does not
	// answer: nil if the object is known not to exist.
	Ask(ctx context.Context, secret bool, namespace, name string, fn func(context.Context) (runtime.Object, error)) (runtime.Object, error)
	// Wait waits until the server answers again if err says that it did not, and
	// tells whether it does.
	Wait(ctx context.Context, err error) bool
}

// forgetful is no memory.
type forgetful struct{}

func (forgetful) Keep(bool, string, string, runtime.Object) {}
func (forgetful) Drop(bool, string, string)                 {}
func (forgetful) Wait(context.Context, error) bool          { return false }

func (forgetful) Ask(ctx context.Context, _ bool, _, _ string, fn func(context.Context) (runtime.Object, error)) (runtime.Object, error) {
	return fn(ctx)
}
