package registry

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// The adapters below let a group's package write its rules for its concrete
// types: registry.Default(func(p *corev1.Pod) { ... }).

// Default adapts a defaulting function.
func Default[T Object](f func(T)) func(Object) {
	return func(o Object) { f(o.(T)) }
}

// Prepare adapts a PrepareCreate function.
func Prepare[T Object](f func(context.Context, T)) func(context.Context, Object) {
	return func(ctx context.Context, o Object) { f(ctx, o.(T)) }
}

// PrepareUpdate adapts a PrepareUpdate function.
func PrepareUpdate[T Object](f func(ctx context.Context, obj, old T)) func(context.Context, Object, Object) {
	return func(ctx context.Context, obj, old Object) { f(ctx, obj.(T), old.(T)) }
}

// Validate adapts a Validate function.
func Validate[T Object](f func(context.Context, T) field.ErrorList) func(context.Context, Object) field.ErrorList {
	return func(ctx context.Context, o Object) field.ErrorList { return f(ctx, o.(T)) }
}

// ValidateUpdate adapts a ValidateUpdate function.
func ValidateUpdate[T Object](f func(ctx context.Context, obj, old T) field.ErrorList) func(context.Context, Object, Object) field.ErrorList {
	return func(ctx context.Context, obj, old Object) field.ErrorList { return f(ctx, obj.(T), old.(T)) }
}

// Cells adapts a Cells function.
func Cells[T Object](f func(T) []any) func(Object) []any {
	return func(o Object) []any { return f(o.(T)) }
}

// New makes a Version's constructors: New: registry.New[corev1.Pod](),
// NewList: registry.New[corev1.PodList]().
func New[T any, P interface {
	*T
	runtime.Object
}]() func() runtime.Object {
	return func() runtime.Object { return P(new(T)) }
}
