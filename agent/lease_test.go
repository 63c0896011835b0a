package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
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

// What a transport says of a dead connection closes it, so that the next renewal
// takes another.
func TestDeadConnectionIsGivenUp(t *testing.T) {
	client := fake.NewClientset()
	dead := true
	client.PrependReactor("*", "leases", func(clienttesting.Action) (bool, runtime.Object, error) {
		if dead {
			return true, nil, fmt.Errorf("Get: %w", context.DeadlineExceeded)
		}
		return false, nil, nil
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		closed := 0
		a := &Agent{
			cfg: Config{NodeName: "n1"}, log: slog.New(slog.DiscardHandler), leaseNow: make(chan struct{}, 1),
			deps: Deps{Client: client, Reconnect: func() { closed++; dead = false }},
		}
		a.lease.Store(int64(4 * time.Second))
		done := make(chan error, 1)
		go func() { done <- a.keepLease(ctx) }()
		time.Sleep(time.Second)
		synctest.Wait()
		if _, err := client.CoordinationV1().Leases("kube-node-lease").Get(ctx, "n1", metav1.GetOptions{}); err != nil || closed != 1 {
			t.Errorf("closed %d times, then %v", closed, err)
		}
		cancel()
		<-done
	})
}
