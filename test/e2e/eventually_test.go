package e2e

import (
	"testing"
	"time"
)

const (
	// eventualTimeout is for a loaded machine.
	eventualTimeout = time.Minute
	eventualPause   = 200 * time.Millisecond
)

// eventually fails the test if what is wanted does not come true.
func eventually(t *testing.T, wanted string, check func() error) {
	t.Helper()
	for deadline := time.Now().Add(eventualTimeout); ; time.Sleep(eventualPause) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s: %v", eventualTimeout, wanted, err)
		}
	}
}
