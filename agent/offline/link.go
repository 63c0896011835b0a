package offline

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// firstPing and longestPing bound how long after a failure the server is tried
	// again; half of it is random, so that a server which is back does not meet
	// all of its nodes at once.
	firstPing   = 500 * time.Millisecond
	longestPing = 5 * time.Second
	// pingTimeout is how long a server may take to answer the simplest question.
	pingTimeout = 5 * time.Second
	// sayEvery is how often the log says that the server is away.
	sayEvery = time.Minute
)

// answered tells whether an error is the server's word rather than the lack of it.
// A server that is overloaded, starting or broken has not answered.
func answered(err error) bool {
	var status apierrors.APIStatus
	if err == nil || !errors.As(err, &status) {
		return err == nil
	}
	if apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge) {
		return true
	}
	code := status.Status().Code
	return code >= 400 && code < 500 && code != http.StatusTooManyRequests && code != http.StatusRequestTimeout
}

// link knows whether the server answers. One for all that talk to it, so that one
// asks while many wait, and one line is logged.
type link struct {
	log *slog.Logger
	// ctx ends the asking.
	ctx context.Context
	wg  sync.WaitGroup
	// ping asks something simple.
	ping func(context.Context) error
	// back is told that the server answers again.
	back func()

	mu sync.Mutex
	// up is closed when the server answers again, nil while it answers.
	up    chan struct{}
	delay time.Duration
	upAt  time.Time
}

// away tells whether the server was lost and has not answered since.
func (l *link) away() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.up != nil
}

// lost notes that the server has not answered, and returns what is closed when it
// does.
func (l *link) lost() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.up != nil {
		return l.up
	}
	if l.delay == 0 || time.Since(l.upAt) > sayEvery {
		l.delay = firstPing
	}
	up := make(chan struct{})
	l.up = up
	l.wg.Go(func() { l.ask(up) })
	return up
}

// ask asks the server until it answers.
func (l *link) ask(up chan struct{}) {
	began := time.Now()
	var said time.Time
	for {
		l.mu.Lock()
		delay := l.delay
		l.delay = min(2*delay, longestPing)
		l.mu.Unlock()
		select {
		case <-l.ctx.Done():
			return
		case <-time.After(delay/2 + rand.N(delay/2+1)):
		}
		ctx, cancel := context.WithTimeout(l.ctx, pingTimeout)
		err := l.ping(ctx)
		cancel()
		if l.ctx.Err() != nil {
			return
		}
		if answered(err) {
			break
		}
		if said.IsZero() || time.Since(said) >= sayEvery {
			l.log.Warn("the API server does not answer; this node goes on with what it knows", "since", began.Format(time.RFC3339), "err", err)
			said = time.Now()
		}
	}
	if !said.IsZero() {
		l.log.Info("the API server answers again", "after", time.Since(began).Round(time.Second).String())
	}
	l.mu.Lock()
	l.up, l.upAt = nil, time.Now()
	l.mu.Unlock()
	close(up)
	l.back()
}

// call asks the server, unless it is known to be away and there is an answer from the
// disk. With one it does not wait long. kept may be nil.
func call[T any](ctx context.Context, l *link, kept func() (T, bool), fn func(context.Context) (T, error)) (result T, fromServer bool, err error) {
	old, have := kept()
	if have && l.away() {
		return old, false, nil
	}
	limited, cancel := ctx, context.CancelFunc(func() {})
	if have {
		limited, cancel = context.WithTimeout(ctx, firstLimit)
	}
	defer cancel()
	result, err = fn(limited)
	if answered(err) {
		return result, true, err
	}
	if ctx.Err() == nil {
		l.lost()
	}
	if have && ctx.Err() == nil {
		return old, false, nil
	}
	return result, false, err
}
