package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/authentication/user"
)

func isRead(verb string) bool { return verb == "get" || verb == "list" || verb == "watch" }

// limit takes a place among the requests in flight, or refuses. Administrators
// always get in: they are the ones who repair an overload.
func (c *call) limit() (release func(), err error) {
	if c.long {
		return func() {}, nil
	}
	inFlight, limit := &c.s.writes, c.s.cfg.MaxWrites
	if isRead(c.info.Verb) {
		inFlight, limit = &c.s.reads, c.s.cfg.MaxReads
	}
	if inFlight.Add(1) > int64(limit) && !slices.Contains(c.user.GetGroups(), user.SystemPrivilegedGroup) {
		inFlight.Add(-1)
		c.s.metrics.terminate(c, http.StatusTooManyRequests)
		return nil, apierrors.NewTooManyRequests("Too many requests, please try again later.", 1)
	}
	return func() { leave(inFlight) }, nil
}

func leave(n *atomic.Int64) { n.Add(-1) }

// setDeadline bounds the request's time: by the server's limit, or by the
// "timeout" parameter where that is shorter.
func (c *call) setDeadline() (context.CancelFunc, error) {
	if c.long {
		return func() {}, nil
	}
	timeout := c.s.cfg.RequestTimeout
	if v := c.values.Get("timeout"); v != "" {
		asked, err := time.ParseDuration(v)
		if err != nil {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("invalid timeout specified in the request URL - %v", err))
		}
		if asked > 0 {
			timeout = min(timeout, asked)
		}
	}
	var cancel context.CancelFunc
	c.ctx, cancel = context.WithTimeout(c.ctx, timeout)
	return cancel, nil
}
