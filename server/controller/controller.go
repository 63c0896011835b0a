// Package controller is the engine under every control loop of the cluster.
//
// A loop is described by a Controller: which informers wake it (Sources), how a
// change maps to keys, and a Reconciler that compares what is wanted with what
// is for one key and acts on the difference. Run drives a list of them:
//
//	informer ──one handler per informer──► Source.Keys ──► queue ──► Reconcile(key)
//	                                                        ▲            │
//	                                 RequeueAfter, back-off └────────────┘
//
// A change only says "look again"; it carries nothing. So keys are deduplicated,
// one key is never reconciled twice at a time, and a loop may be stopped at any
// line and started again.
//
// # Cost
//
// An idle controller owns no goroutine and no ticking timer: workers start when
// there is work and end when there is none, one timer per controller is armed
// only while something is due, and all controllers share one handler per
// informer.
package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
)

// Result tells when to look at a key again.
type Result struct {
	// RequeueAfter, if positive, reconciles the key again after this time. It
	// replaces what an earlier reconcile asked for.
	RequeueAfter time.Duration
}

// Reconciler brings the cluster closer to what the object at key wants.
type Reconciler interface {
	// Reconcile is never called twice at a time for one key. An error makes the
	// engine call again after a back-off; conflicts (a stale read) are retried
	// without being logged.
	Reconcile(ctx context.Context, key string) (Result, error)
}

// Func is a Reconciler made of a function.
type Func func(ctx context.Context, key string) (Result, error)

// Reconcile calls f.
func (f Func) Reconcile(ctx context.Context, key string) (Result, error) { return f(ctx, key) }

// Enqueue asks for a key to be reconciled, after a delay if that is positive.
type Enqueue func(key string, after time.Duration)

// Controller describes one control loop.
type Controller struct {
	// Name is the field's name of the loop ("deployment"); it labels metrics and
	// logs.
	Name string
	Reconciler
	// Workers bounds how many keys are reconciled at a time; 0 means 1.
	Workers int
	// Sources wake the loop.
	Sources []Source
	// Reads are informers that the loop reads without being woken by them.
	Reads []cache.SharedIndexInformer
	// Own are informers of the loop's own, which Run runs; they may be among
	// Sources and Reads.
	Own []cache.SharedIndexInformer
	// Keys are reconciled once at the start, for loops that are not about
	// one object each.
	Keys []string
	// Start, if not nil, runs beside the loop from when its informers have
	// synced until ctx ends, for what cannot be said with Sources.
	Start func(ctx context.Context, enqueue Enqueue) error
}

// OnSignal is a Start that enqueues a key at each value of a channel; it is nil for
// a nil channel.
func OnSignal(signal <-chan struct{}, key string) func(context.Context, Enqueue) error {
	if signal == nil {
		return nil
	}
	return func(ctx context.Context, enqueue Enqueue) error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-signal:
				enqueue(key, 0)
			}
		}
	}
}

// Config is what Run needs.
type Config struct {
	Clock  clock.WithDelayedExecution
	Logger *slog.Logger
	// Metrics may be nil.
	Metrics *Metrics
	// StartInformers starts the informers that Sources and Reads name
	// (SharedInformerFactory.Start); it is called once, after all handlers were
	// added.
	StartInformers func(ctx context.Context)
}

// Run runs the controllers until ctx ends, and returns when all that they
// started has ended. The error is one that a Start returned, or that of a
// wrongly described controller.
func Run(ctx context.Context, cfg Config, controllers []Controller) error {
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	h := newHub()
	defer h.close()
	loops := make([]*loop, 0, len(controllers))
	for _, c := range controllers {
		if c.Name == "" || c.Reconciler == nil {
			return fmt.Errorf("controller %q has no name or no reconciler", c.Name)
		}
		loops = append(loops, newLoop(ctx, cfg, c, h))
	}
	if err := h.open(); err != nil {
		return err
	}
	if cfg.StartInformers != nil {
		cfg.StartInformers(ctx)
	}
	var wg sync.WaitGroup
	errs := make([]error, len(loops))
	for _, c := range controllers {
		for _, inf := range c.Own {
			wg.Go(func() { inf.RunWithContext(ctx) })
		}
	}
	for i, l := range loops {
		wg.Go(func() {
			if errs[i] = l.run(ctx); errs[i] != nil {
				cancel()
			}
		})
	}
	<-ctx.Done()
	wg.Wait()
	for _, l := range loops {
		l.queue.shutDown()
	}
	return errors.Join(errs...)
}
