// Package scheduler finds a node for each pod that has none: it takes the pods
// one by one from a queue, lets the plugins of the framework filter and rank the
// nodes of an immutable snapshot, and binds the pod to the best one in the
// background. A pod that fits nowhere gets a condition and an event that say
// why, and is tried again when something happens that may help it.
package scheduler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"

	"skiff/scheduler/cache"
	"skiff/scheduler/framework"
	"skiff/scheduler/plugins"
	"skiff/scheduler/queue"
)

// Name is the scheduler that pods ask for if they name none.
const Name = corev1.DefaultSchedulerName

// maxBinding bounds the bindings that are under way at once.
const maxBinding = 16

// Recorder writes events about pods.
type Recorder interface {
	// Eventf records an event of type Normal or Warning about regarding.
	Eventf(regarding runtime.Object, eventType, reason, action, format string, args ...any)
}

// Config is what a Scheduler needs. All but Plugins and Clock is required.
type Config struct {
	Client    kubernetes.Interface
	Informers informers.SharedInformerFactory
	Recorder  Recorder
	// Plugins is the ordered list; nil means plugins.Default.
	Plugins []framework.Weighted
	Clock   clock.WithTicker
}

// Scheduler schedules the pods of a cluster. One of them runs at a time.
type Scheduler struct {
	client    kubernetes.Interface
	informers informers.SharedInformerFactory
	recorder  Recorder
	framework *framework.Framework
	cache     *cache.Cache
	queue     *queue.Queue
	metrics   *metrics

	// startNode is where the search for feasible nodes begins, so that not only
	// the first nodes of a large cluster are ever looked at.
	startNode int
	binding   sync.WaitGroup
	slots     chan struct{}
}

// New returns a Scheduler that has not begun.
func New(cfg Config) (*Scheduler, error) {
	if cfg.Plugins == nil {
		cfg.Plugins = plugins.Default(cfg.Client, cfg.Informers)
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	f, err := framework.New(cfg.Plugins)
	if err != nil {
		return nil, err
	}
	q := queue.New(f, cfg.Clock)
	return &Scheduler{
		client:    cfg.Client,
		informers: cfg.Informers,
		recorder:  cfg.Recorder,
		framework: f,
		cache:     cache.New(),
		queue:     q,
		metrics:   newMetrics(q),
		slots:     make(chan struct{}, maxBinding),
	}, nil
}

// Run schedules until ctx ends, and returns when the last binding is done. The
// informers must be started by the caller.
func (s *Scheduler) Run(ctx context.Context) error {
	stop, err := s.watch(ctx)
	if err != nil {
		return err
	}
	defer stop()
	defer s.binding.Wait()
	for {
		pod, err := s.queue.Pop(ctx)
		if err != nil {
			return nil // ctx ended, the only reason to stop
		}
		s.schedule(ctx, pod)
	}
}

// schedule runs one pod's cycle.
func (s *Scheduler) schedule(ctx context.Context, pod *framework.QueuedPod) {
	if pod.Pod.DeletionTimestamp != nil || s.cache.Has(pod.Pod.UID) {
		s.queue.Delete(pod.Pod.UID)
		return
	}
	done := s.metrics.attempt()
	state := framework.NewState()
	node, err := s.findNode(ctx, state, pod.PodInfo)
	if err != nil {
		done(resultOf(err))
		s.reject(ctx, pod, err)
		return
	}
	wait, err := s.decide(ctx, state, pod.PodInfo, node)
	if err != nil {
		done(resultOf(err))
		s.reject(ctx, pod, err)
		return
	}
	s.slots <- struct{}{}
	s.binding.Go(func() {
		defer func() { <-s.slots }()
		if err := s.bind(ctx, state, pod.PodInfo, node, wait); err != nil {
			done(resultOf(err))
			s.reject(ctx, pod, err)
			return
		}
		done(resultScheduled)
	})
}

// decide assumes the pod on the node, and asks the Reserve and Permit plugins.
func (s *Scheduler) decide(ctx context.Context, state *framework.State, pod *framework.PodInfo, node string) (func(context.Context) *framework.Status, error) {
	s.cache.Assume(pod, node)
	if status := s.framework.Reserve(ctx, state, pod, node); !status.IsSuccess() {
		s.cache.Forget(pod.Pod)
		return nil, statusError(status)
	}
	wait, status := s.framework.Permit(ctx, state, pod, node)
	if !status.IsSuccess() {
		s.giveBack(ctx, state, pod, node)
		return nil, statusError(status)
	}
	return wait, nil
}

// bind waits for the Permit plugins and writes the decision.
func (s *Scheduler) bind(ctx context.Context, state *framework.State, pod *framework.PodInfo, node string, wait func(context.Context) *framework.Status) error {
	if wait != nil {
		if status := wait(ctx); !status.IsSuccess() {
			s.giveBack(ctx, state, pod, node)
			return statusError(status)
		}
	}
	if status := s.framework.Bind(ctx, state, pod, node); !status.IsSuccess() {
		s.giveBack(ctx, state, pod, node)
		return statusError(status)
	}
	s.queue.Delete(pod.Pod.UID)
	s.recorder.Eventf(pod.Pod, corev1.EventTypeNormal, "Scheduled", "Binding",
		"Successfully assigned %s/%s to %s", pod.Pod.Namespace, pod.Pod.Name, node)
	return nil
}

// giveBack undoes decide; what the pod was going to take is free for others.
func (s *Scheduler) giveBack(ctx context.Context, state *framework.State, pod *framework.PodInfo, node string) {
	s.framework.Unreserve(ctx, state, pod, node)
	s.cache.Forget(pod.Pod)
	s.queue.Happened(framework.Event{Action: framework.PodDeleted, Old: pod.Pod})
}

// statusError returns a rejection as a *fitError, so that the pod waits for what
// the plugin said, and anything else as an error.
func statusError(s *framework.Status) error {
	if s.IsRejected() {
		return &fitError{preFilter: s, rejectedBy: map[string]bool{s.Plugin: true}}
	}
	return fmt.Errorf("scheduler plugin %s: %w", s.Plugin, s.AsError())
}

// reject gives the pod back to the queue and tells its owner why.
func (s *Scheduler) reject(ctx context.Context, pod *framework.QueuedPod, cause error) {
	if ctx.Err() != nil {
		return
	}
	if apierrors.IsNotFound(cause) {
		s.queue.Delete(pod.Pod.UID)
		return
	}
	var fit *fitError
	reason, rejectedBy := corev1.PodReasonSchedulerError, map[string]bool(nil)
	if errors.As(cause, &fit) {
		reason, rejectedBy = corev1.PodReasonUnschedulable, fit.rejectedBy
	} else {
		slog.Error("cannot schedule pod", "pod", pod.Pod.Namespace+"/"+pod.Pod.Name, "err", cause)
	}
	s.queue.Rejected(pod.Pod.UID, rejectedBy)
	s.recorder.Eventf(pod.Pod, corev1.EventTypeWarning, "FailedScheduling", "Scheduling", "%s", cause)
	if err := s.setCondition(ctx, pod.Pod, reason, cause.Error()); err != nil {
		slog.Warn("cannot write why a pod is not scheduled", "pod", pod.Pod.Namespace+"/"+pod.Pod.Name, "err", err)
	}
}
