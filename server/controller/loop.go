package controller

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/cache"
)

// loop is one running controller.
type loop struct {
	Controller
	queue   *queue
	hub     *hub
	log     *slog.Logger
	results results
}

func newLoop(ctx context.Context, cfg Config, c Controller, h *hub) *loop {
	l := &loop{
		Controller: c, hub: h, log: cfg.Logger.With("controller", c.Name),
	}
	l.queue = newQueue(cfg.Clock, max(c.Workers, 1), func(key string) { l.process(ctx, key) })
	for _, s := range c.Sources {
		h.add(s, l.queue.add)
	}
	for _, r := range c.Reads {
		h.read(r)
	}
	cfg.Metrics.add(l)
	return l
}

// run waits for the loop's informers, lets its workers begin, and stays only as
// long as Start does.
func (l *loop) run(ctx context.Context) error {
	informers := make([]cache.SharedIndexInformer, 0, len(l.Sources)+len(l.Reads))
	for _, s := range l.Sources {
		informers = append(informers, s.Informer)
	}
	if !l.hub.wait(ctx, append(informers, l.Reads...)) {
		return nil
	}
	for _, k := range l.Keys {
		l.queue.add(k)
	}
	l.queue.begin()
	if l.Start == nil {
		return nil
	}
	err := l.Start(ctx, func(key string, after time.Duration) {
		if after <= 0 {
			l.queue.add(key)
			return
		}
		l.queue.addAfter(key, after)
	})
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("controller %s: %w", l.Name, err)
	}
	return nil
}

func (l *loop) process(ctx context.Context, key string) {
	res, err := l.safely(ctx, key)
	l.results.count(err)
	switch {
	case ctx.Err() != nil:
	case err == nil:
		l.queue.forget(key)
		if res.RequeueAfter > 0 {
			l.queue.addAfter(key, res.RequeueAfter)
		}
	default:
		delay := l.queue.retry(key)
		if !quiet(err) {
			l.log.Warn("reconcile failed, will retry", "key", key, "after", delay, "err", err)
		}
	}
}

// safely turns a panic into an error: one broken object must not stop the
// cluster's other loops.
func (l *loop) safely(ctx context.Context, key string) (res Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return l.Reconcile(ctx, key)
}

// quiet tells errors that say no more than that a cache was behind.
func quiet(err error) bool {
	return apierrors.IsConflict(err) || apierrors.HasStatusCause(err, "NamespaceTerminating")
}
