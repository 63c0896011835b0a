package agent

import (
	"context"
	"errors"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"skiff/agent/backoff"
)

// keepLease renews the node's lease until ctx ends. The renewal is a plain
// update of nothing but the time, which a store may keep volatile.
func (a *Agent) keepLease(ctx context.Context) error {
	var lease *coordinationv1.Lease
	timer := time.NewTimer(0)
	defer timer.Stop()
	var said backoff.Seldom
	for failures := 0; ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-a.leaseNow:
		case <-timer.C:
		}
		wait := a.leaseDuration() / 4
		if a.gone() {
			lease = nil
			timer.Reset(wait)
			continue
		}
		renewed, err := a.renewWithin(ctx, 2*wait, lease)
		switch {
		case err == nil:
			lease, failures = renewed, 0
		case ctx.Err() == nil:
			// Somebody else wrote it, or it is gone: read it again.
			lease = nil
			failures++
			if a.deps.Reconnect != nil && errors.Is(err, context.DeadlineExceeded) {
				a.deps.Reconnect()
			}
			wait = min(100*time.Millisecond<<min(failures, 6), wait)
			if failures >= 5 {
				a.complain(&said, "cannot renew the node's lease", err)
			}
		}
		timer.Reset(wait)
	}
}

// SetLeaseDuration changes how long the node counts as alive after a renewal, and
// so how often it is renewed. 0 is the default.
func (a *Agent) SetLeaseDuration(d time.Duration) {
	def(&d, defaultLease)
	if a.lease.Swap(int64(d)) == int64(d) {
		return
	}
	select {
	case a.leaseNow <- struct{}{}:
	default:
	}
}

func (a *Agent) leaseDuration() time.Duration { return time.Duration(a.lease.Load()) }

// renewWithin renews the lease, or gives up in time for another attempt before
// the lease is over: a connection may be dead without anybody telling.
func (a *Agent) renewWithin(ctx context.Context, limit time.Duration, lease *coordinationv1.Lease) (*coordinationv1.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return a.renew(ctx, lease)
}

func (a *Agent) renew(ctx context.Context, lease *coordinationv1.Lease) (*coordinationv1.Lease, error) {
	leases := a.deps.Client.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	var err error
	if lease == nil {
		lease, err = leases.Get(ctx, a.cfg.NodeName, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return leases.Create(ctx, a.stamp(&coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: a.cfg.NodeName, Namespace: corev1.NamespaceNodeLease}}), metav1.CreateOptions{})
		}
		if err != nil {
			return nil, err
		}
	}
	return leases.Update(ctx, a.stamp(lease.DeepCopy()), metav1.UpdateOptions{})
}

// stamp renews a lease, and ties it to the node once that has a UID.
func (a *Agent) stamp(lease *coordinationv1.Lease) *coordinationv1.Lease {
	now := metav1.NowMicro()
	seconds := int32((a.leaseDuration() + time.Second - 1) / time.Second)
	lease.Spec.HolderIdentity = &a.cfg.NodeName
	lease.Spec.LeaseDurationSeconds = &seconds
	lease.Spec.RenewTime = &now
	if n, err := a.Node(); err == nil && n.UID != "" && len(lease.OwnerReferences) == 0 {
		lease.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: n.Name, UID: n.UID}}
	}
	return lease
}
