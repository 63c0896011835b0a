package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"skiff/store"
)

// OptimisticLockMessage is the cause in a conflict of an update.
const OptimisticLockMessage = "the object has been modified; please apply your changes to the latest version and try again"

var errOptimisticLock = errors.New(OptimisticLockMessage)

func isNotFound(err error) bool { return errors.Is(err, store.ErrNotFound) }

// apiError maps the store's errors to API statuses; others pass unchanged. name
// is "" for collections.
func (s *Store) apiError(err error, name string) error {
	var status apierrors.APIStatus
	if err == nil || errors.As(err, &status) {
		return err
	}
	var conflict *store.ConflictError
	switch {
	case errors.As(err, &conflict):
		return apierrors.NewConflict(s.gr, name, errOptimisticLock)
	case isNotFound(err):
		return apierrors.NewNotFound(s.gr, name)
	}
	return StoreError(err)
}

// StoreError maps errors of the store that do not depend on the object to API
// statuses; others pass unchanged.
func StoreError(err error) error {
	switch {
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrClosed):
		e := apierrors.NewServiceUnavailable(fmt.Sprintf("nothing was changed: %v", err))
		e.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: 1}
		return e
	case errors.Is(err, store.ErrUnknownOutcome):
		return apierrors.NewTimeoutError(err.Error(), 0)
	case errors.Is(err, store.ErrNoSpace):
		return apierrors.NewGenericServerResponse(http.StatusInsufficientStorage, "", schema.GroupResource{}, "", err.Error(), 0, true)
	case errors.Is(err, store.ErrTooLarge):
		return apierrors.NewRequestEntityTooLargeError(err.Error())
	case errors.Is(err, context.DeadlineExceeded):
		return apierrors.NewTimeoutError("request did not complete within the allotted timeout", 0)
	}
	return err
}

// tooLargeResourceVersion tells that a client asked for a version that has not
// come yet.
func tooLargeResourceVersion(want, current int64) error {
	e := apierrors.NewTimeoutError(fmt.Sprintf("Too large resource version: %d, current: %d", want, current), 1)
	e.ErrStatus.Details.Causes = []metav1.StatusCause{{
		Type:    metav1.CauseTypeResourceVersionTooLarge,
		Message: "Too large resource version",
	}}
	return e
}
