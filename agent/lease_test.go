package agent

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/client-go/kubernetes/fake"
)

// renewals runs keepLease for a node whose lease lasts for so long, and calls fn
// with the times of the renewals so far.
func renewals(t *testing.T, lease time.Duration, fn func(a *Agent, count func() int)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		client := fake.NewClientset()
		a := &Agent{cfg: Config{NodeName: "n1"}, deps: Deps{Client: client}, log: slog.New(slog.DiscardHandler), leaseNow: make(chan struct{}, 1)}
		a.lease.Store(int64(lease))
		done := make(chan error, 1)
		go func() { done <- a.keepLease(ctx) }()
		synctest.Wait()
		fn(a, func() (n int) {
			synctest.Wait()
			for _, action := range client.Actions() {
				if v := action.GetVerb(); v == "create" || v == "update" {
					n++
				}
			}
			client.ClearActions()
			return n
		})
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestLeaseFollowsTheGrace(t *testing.T) {
	renewals(t, 40*time.Second, func(a *Agent, count func() int) {
		if n := count(); n != 1 {
			t.Fatalf("%d renewals at start", n)
		}
		time.Sleep(time.Minute + time.Second)
		if n := count(); n != 6 {
			t.Errorf("%d renewals in a minute, want one every 10 s", n)
		}
		a.SetLeaseDuration(4 * time.Second)
		if n := count(); n != 1 {
			t.Errorf("%d renewals when the grace got shorter, want one at once", n)
		}
		time.Sleep(10*time.Second + time.Millisecond)
		if n := count(); n != 10 {
			t.Errorf("%d renewals in 10 s, want one a second", n)
		}
		a.SetLeaseDuration(0)
		if n := count(); n != 1 || a.leaseDuration() != defaultLease {
			t.Errorf("%d renewals, a lease of %s", n, a.leaseDuration())
		}
	})
}
