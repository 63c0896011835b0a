package pki

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// Run finds out within the hour, also when nobody connects.
func TestRunRenewsWithoutHandshakes(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p, err := Open(Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		// The bubble's clock is at 2000, before Epoch: the credible time stands
		// still until then, as on a box without a battery.
		c := certificate(t, p, Admin())
		before := c.current.Load()
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()
		time.Sleep(checkInterval + time.Minute)
		if c.current.Load() != before {
			t.Error("renewed although the time is not known")
		}
		time.Sleep(time.Until(Epoch.Add(DefaultLifetime/3*2 + checkInterval)))
		synctest.Wait()
		if c.current.Load() == before {
			t.Error("not renewed")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
