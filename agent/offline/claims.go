package offline

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"

	"skiff/agent/pod"
	"skiff/agent/volume"
)

// Claims keeps what claims next finds and what they are bound to.
func (s *Store) Claims(next volume.Claims) volume.Claims { return keptClaims{s, next} }

type keptClaims struct {
	store *Store
	next  volume.Claims
}

// Claim implements volume.Claims.
func (c keptClaims) Claim(ctx context.Context, namespace, name string) (*corev1.PersistentVolumeClaim, error) {
	return one(ctx, c.store, slot{bucketClaim, namespace + "/" + name}, &corev1.PersistentVolumeClaim{},
		func(ctx context.Context) (*corev1.PersistentVolumeClaim, error) {
			return c.next.Claim(ctx, namespace, name)
		})
}

// Volume implements volume.Claims.
func (c keptClaims) Volume(ctx context.Context, name string) (*corev1.PersistentVolume, error) {
	return one(ctx, c.store, slot{bucketVolume, name}, &corev1.PersistentVolume{},
		func(ctx context.Context) (*corev1.PersistentVolume, error) { return c.next.Volume(ctx, name) })
}

// RuntimeClasses keeps the classes that next finds.
func (s *Store) RuntimeClasses(next pod.RuntimeClasses) pod.RuntimeClasses {
	return keptClasses{s, next}
}

type keptClasses struct {
	store *Store
	next  pod.RuntimeClasses
}

// RuntimeClass implements pod.RuntimeClasses.
func (c keptClasses) RuntimeClass(ctx context.Context, name string) (*nodev1.RuntimeClass, error) {
	return one(ctx, c.store, slot{bucketClass, name}, &nodev1.RuntimeClass{},
		func(ctx context.Context) (*nodev1.RuntimeClass, error) { return c.next.RuntimeClass(ctx, name) })
}

// one asks for one object and keeps it; into is what a kept one is decoded into.
func one[T object](ctx context.Context, s *Store, at slot, into T, fn func(context.Context) (T, error)) (T, error) {
	kept := func() (T, bool) {
		value, ok := s.read(at)
		return into, ok && into.Unmarshal(value) == nil
	}
	obj, fromServer, err := call(ctx, &s.link, kept, fn)
	if err == nil && fromServer {
		s.put(at, soon, obj.Marshal)
	}
	return obj, err
}
