package store

import (
	"errors"
	"fmt"
)

var (
	// ErrNotFound tells that there is no such key at the revision asked for.
	ErrNotFound = errors.New("key not found")
	// ErrCompacted tells that the revision asked for is no longer kept.
	ErrCompacted = errors.New("revision has been compacted")
	// ErrFutureRevision tells that the store has not reached the revision.
	ErrFutureRevision = errors.New("revision is in the future")
	// ErrUnavailable tells that there is no leader or no quorum; nothing was
	// changed.
	ErrUnavailable = errors.New("store has no leader")
	// ErrUnknownOutcome tells that leadership was lost, or the deadline passed,
	// while a change was being committed: it may or may not happen.
	ErrUnknownOutcome = errors.New("outcome of the change is unknown")
	// ErrNoSpace tells that the disk is full; nothing was changed.
	ErrNoSpace = errors.New("no space left for the store")
	// ErrTooLarge tells that the change exceeds the store's size limit.
	ErrTooLarge = errors.New("change is too large")
	// ErrClosed tells that the store or watcher was closed.
	ErrClosed = errors.New("store is closed")
)

// ConflictError tells that an operation's expectation did not hold.
type ConflictError struct {
	// Op is the index of the operation in its transaction.
	Op int
	// Current is the key as it is now; its Revision is 0 if there is none.
	Current Item
}

func (e *ConflictError) Error() string {
	if e.Current.Revision == 0 {
		return fmt.Sprintf("operation %d: key %q does not exist", e.Op, e.Current.Key)
	}
	return fmt.Sprintf("operation %d: key %q is at revision %d", e.Op, e.Current.Key, e.Current.Revision)
}
