package bootstrap

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// writer is what a typed client can do with one kind.
type writer[T any] interface {
	Create(ctx context.Context, obj *T, opts metav1.CreateOptions) (*T, error)
	Update(ctx context.Context, obj *T, opts metav1.UpdateOptions) (*T, error)
	Delete(ctx context.Context, name string, opts metav1.DeleteOptions) error
}

// object is a pointer to T that has metadata.
type object[T any] interface {
	*T
	metav1.Object
}

// work is a list of writes.
type work struct {
	mu    sync.Mutex
	steps []func(context.Context) error
}

func (w *work) add(f func(context.Context) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.steps = append(w.steps, f)
}

func (w *work) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for _, step := range w.steps {
		g.Go(func() error { return step(ctx) })
	}
	return g.Wait()
}

// verdict is what to do with an object that exists.
type verdict int

const (
	good verdict = iota
	incomplete
	// replace deletes and creates: what differs cannot be changed.
	replace
)

// key names an object within its kind.
type key struct{ namespace, name string }

// plan compares what there is with what is wanted, and adds the writes to w.
// complete changes an existing object (a copy of its own) into what it should be.
func plan[T any, P object[T]](listErr error, list any, items func() []T, wanted []T, w *work, client func(*T) writer[T], complete func(have, want P) verdict) error {
	if listErr != nil {
		return fmt.Errorf("list (%T): %w", list, listErr)
	}
	have := map[key]P{}
	all := items()
	for i := range all {
		p := P(&all[i])
		have[key{p.GetNamespace(), p.GetName()}] = p
	}
	for i := range wanted {
		want := P(&wanted[i])
		c := client(want)
		old, ok := have[key{want.GetNamespace(), want.GetName()}]
		if !ok {
			w.add(func(ctx context.Context) error { return create(ctx, c, want) })
			continue
		}
		switch complete(old, want) {
		case incomplete:
			w.add(func(ctx context.Context) error {
				_, err := c.Update(ctx, old, metav1.UpdateOptions{})
				return wrap(err, "update", want)
			})
		case replace:
			w.add(func(ctx context.Context) error {
				uid := old.GetUID()
				err := c.Delete(ctx, old.GetName(), metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
				if err != nil && !apierrors.IsNotFound(err) {
					return wrap(err, "replace", want)
				}
				return create(ctx, c, want)
			})
		}
	}
	return nil
}

func create[T any, P object[T]](ctx context.Context, c writer[T], want P) error {
	_, err := c.Create(ctx, want, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil // another server was faster; the next start compares again
	}
	return wrap(err, "create", want)
}

func wrap(err error, verb string, o metav1.Object) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %T %s: %w", verb, o, o.GetName(), err)
}
