package registry

import (
	"context"
	"errors"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"

	"skiff/store"
)

// reapSlack is how much longer than its TTL an object may stay, as a part of it:
// objects go in batches.
const reapSlack = 20

// Reap removes the objects of resources with a TTL when their time is over,
// until ctx ends. One server of a cluster needs to run it; more do no harm. It
// sleeps while there is nothing that could expire.
func (r *Registry) Reap(ctx context.Context, log *slog.Logger) {
	done := make(chan struct{})
	var running int
	r.mu.RLock()
	for _, s := range r.stores {
		if s.res.TTL != nil && s.res.StoredAs == nil {
			running++
			go func() {
				s.reap(ctx, log)
				done <- struct{}{}
			}()
		}
	}
	r.mu.RUnlock()
	for range running {
		<-done
	}
}

func (s *Store) reap(ctx context.Context, log *slog.Logger) {
	for ctx.Err() == nil {
		next, revision, err := s.expire(ctx)
		if err != nil && ctx.Err() == nil {
			log.Warn("cannot remove expired objects", "resource", s.gr.String(), "err", err)
			next = s.reg.now().Add(time.Minute)
		}
		if next.IsZero() {
			s.awaitChange(ctx, revision)
			continue
		}
		timer := time.NewTimer(next.Sub(s.reg.now()))
		select {
		case <-ctx.Done():
			timer.Stop()
		case <-timer.C:
		}
	}
}

// expire removes what is over and returns when to look again; zero if nothing is
// left at revision.
func (s *Store) expire(ctx context.Context) (next time.Time, revision int64, err error) {
	list, err := s.reg.backend.List(ctx, s.prefix, store.ListOptions{ReadOptions: store.ReadOptions{Stale: true}})
	if err != nil {
		return time.Time{}, 0, err
	}
	now := s.reg.now()
	var ops []store.Op
	for _, item := range list.Items {
		obj, err := s.Decode(item.Key, item.Value, item.Revision)
		if err != nil {
			return time.Time{}, 0, err
		}
		ttl := time.Duration(s.res.TTL(obj)) * time.Second
		over := lastTouched(obj).Add(ttl)
		if !over.After(now) {
			ops = append(ops, store.Op{Key: item.Key, Expect: item.Revision, Volatile: true})
			continue
		}
		if over = over.Add(ttl / reapSlack); next.IsZero() || over.Before(next) {
			next = over
		}
	}
	for len(ops) > 0 {
		n := min(len(ops), collectionBatch)
		if err := s.drop(ctx, ops[:n]); err != nil {
			return time.Time{}, 0, err
		}
		ops = ops[n:]
	}
	return next, list.Revision, nil
}

// drop removes what did not change meanwhile.
func (s *Store) drop(ctx context.Context, ops []store.Op) error {
	for len(ops) > 0 {
		_, err := s.reg.backend.Txn(ctx, ops...)
		var conflict *store.ConflictError
		if !errors.As(err, &conflict) {
			return err
		}
		ops = append(ops[:conflict.Op:conflict.Op], ops[conflict.Op+1:]...)
	}
	return nil
}

// awaitChange blocks until something of the resource changes after revision.
func (s *Store) awaitChange(ctx context.Context, revision int64) {
	w, err := s.reg.backend.Watch(s.prefix, revision)
	if err != nil {
		return
	}
	defer w.Close()
	_, _ = w.Next(ctx) // whatever it says, the caller looks again
}

// lastTouched is the time that an object's TTL counts from: an event that goes
// on lives on.
func lastTouched(obj Object) time.Time {
	t := obj.GetCreationTimestamp().Time
	if e, ok := obj.(*corev1.Event); ok {
		for _, other := range []time.Time{e.LastTimestamp.Time, e.EventTime.Time} {
			if other.After(t) {
				t = other
			}
		}
		if e.Series != nil && e.Series.LastObservedTime.After(t) {
			t = e.Series.LastObservedTime.Time
		}
	}
	return t
}
