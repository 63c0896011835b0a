package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"skiff/server/registry"
)

// statusOf turns any error into the Status that a client gets. This is the only
// place where errors become HTTP codes. One that says nothing to a client is
// logged, with where it came from.
func (s *Server) statusOf(err error, where ...any) *metav1.Status {
	err = registry.StoreError(err)
	var api apierrors.APIStatus
	if errors.As(err, &api) {
		status := api.Status()
		if status.Status == "" {
			status.Status = metav1.StatusFailure
		}
		if status.Code == 0 {
			status.Code = http.StatusInternalServerError
		}
		return &status
	}
	if errors.Is(err, context.Canceled) {
		status := apierrors.NewTimeoutError("request was canceled", 0).Status()
		return &status
	}
	s.cfg.Logger.Error("request failed", append(where, "err", err)...)
	return &metav1.Status{Status: metav1.StatusFailure, Code: http.StatusInternalServerError, Reason: metav1.StatusReasonUnknown, Message: err.Error()}
}

// fail answers with an error, unless an answer has begun.
func (c *call) fail(err error) {
	if c.rec.code != 0 {
		if c.ctx.Err() == nil {
			c.s.cfg.Logger.Error("response broke off", "verb", c.info.Verb, "path", c.r.URL.Path, "err", err)
		}
		panic(http.ErrAbortHandler)
	}
	status := c.s.statusOf(err, "verb", c.info.Verb, "resource", c.info.Resource, "path", c.r.URL.Path)
	if d := status.Details; d != nil && d.RetryAfterSeconds > 0 {
		c.w.Header().Set("Retry-After", strconv.Itoa(int(d.RetryAfterSeconds)))
	}
	o, err := c.negotiate(nil)
	if err != nil {
		o = output{media: mediaJSON, pretty: true}
	}
	status.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "Status"})
	if err := c.respondObject(int(status.Code), o, status); err != nil {
		c.s.cfg.Logger.Error("cannot encode status", "err", err)
	}
}
