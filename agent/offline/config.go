package offline

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// absent is kept of an object that is known not to exist, so that a pod that can do
// without it starts.
var absent = []byte{}

func configSlot(secret bool, namespace, name string) slot {
	if secret {
		return slot{bucketSecret, namespace + "/" + name}
	}
	return slot{bucketConfig, namespace + "/" + name}
}

// Keep keeps a config map or secret that a pod of this node refers to. A nil object
// is one that does not exist. The object must not be modified.
func (s *Store) Keep(secret bool, namespace, name string, obj runtime.Object) {
	at := configSlot(secret, namespace, name)
	o, ok := obj.(object)
	if !ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.held, at)
		s.mark(at, func() ([]byte, error) { return absent, nil }, soon)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[at] = o
	s.mark(at, o.Marshal, soon)
}

// Drop forgets an object that no pod of this node refers to any more.
func (s *Store) Drop(secret bool, namespace, name string) {
	at := configSlot(secret, namespace, name)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.held, at)
	s.mark(at, func() ([]byte, error) { return nil, nil }, soon)
}

// Kept returns a config map or secret as last kept, and whether anything is known
// of it; nil is that it does not exist.
func (s *Store) Kept(secret bool, namespace, name string) (runtime.Object, bool) {
	at := configSlot(secret, namespace, name)
	value, ok := s.read(at)
	if !ok || len(value) == 0 {
		return nil, ok
	}
	var o object = &corev1.ConfigMap{}
	if secret {
		o = &corev1.Secret{}
	}
	if err := o.Unmarshal(value); err != nil {
		s.log.Warn("cannot use what is known", "object", at.String(), "err", err)
		return nil, false
	}
	return o, true
}

// read is a slot's value. One that cannot be read is not known.
func (s *Store) read(at slot) ([]byte, bool) {
	value, ok, err := s.file.get(at)
	if errors.Is(err, errWrongKey) {
		s.log.Warn("cannot use what is known", "object", at.String(), "err", err)
	}
	return value, ok && err == nil
}

// Ask asks the server for an object that is followed otherwise, and answers what is
// kept of it if the server does not. A nil object is one that is known not to exist.
func (s *Store) Ask(ctx context.Context, secret bool, namespace, name string, fn func(context.Context) (runtime.Object, error)) (runtime.Object, error) {
	obj, _, err := call(ctx, &s.link, func() (runtime.Object, bool) { return s.Kept(secret, namespace, name) }, fn)
	return obj, err
}

// Wait waits until the server answers, if err says that it did not.
func (s *Store) Wait(ctx context.Context, err error) (waited bool) {
	if answered(err) {
		return false
	}
	return wait(ctx, s.link.lost()) == nil
}
