package join

import (
	"errors"
	"fmt"
)

// refusal is an answer that another try would not change.
type refusal struct{ error }

func refused(format string, args ...any) error { return refusal{fmt.Errorf(format, args...)} }

// Unwrap returns the error itself.
func (r refusal) Unwrap() error { return r.error }

// isRefusal tells whether trying again is of no use.
func isRefusal(err error) bool {
	var r refusal
	return errors.As(err, &r)
}
