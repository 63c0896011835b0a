// Package servicecidr keeps the default ServiceCIDR, and for each one its Ready
// condition and a finalizer that holds it while addresses depend on it (KEP-1880).
package servicecidr

import (
	"context"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	networkinglisters "k8s.io/client-go/listers/networking/v1"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"

	"skiff/server/controller"
)

const (
	// defaultName is the ServiceCIDR of the server's configuration.
	defaultName = "kubernetes"
	finalizer   = "networking.k8s.io/service-cidr-finalizer"
	// grace is how long a deleted range that seems free is held, for allocations
	// that are under way.
	grace = 10 * time.Second
)

// New returns the controller; cidrs is the configured service range, at most one
// prefix of each family.
func New(client kubernetes.Interface, f informers.SharedInformerFactory, events record.EventRecorder, clk clock.PassiveClock, cidrs []netip.Prefix) controller.Controller {
	sc, ip := f.Networking().V1().ServiceCIDRs(), f.Networking().V1().IPAddresses()
	r := &reconciler{client: client, events: events, clock: clk, cidrs: sc.Lister(), addresses: ip.Lister()}
	for _, c := range cidrs {
		r.want = append(r.want, c.String())
	}
	return controller.Controller{
		Name: "service-cidr", Reconciler: r, Keys: []string{defaultName},
		Sources: []controller.Source{
			controller.Watch(sc.Informer(), func(old, new *networkingv1.ServiceCIDR, enqueue func(string)) {
				if new == nil {
					enqueue(old.Name)
				} else {
					enqueue(new.Name)
				}
				if old == nil || new == nil { // it may free, or hold, others
					r.deleting(enqueue)
				}
			}),
			controller.Watch(ip.Informer(), func(_, new *networkingv1.IPAddress, enqueue func(string)) {
				if new == nil {
					r.deleting(enqueue)
				}
			}),
		},
	}
}

type reconciler struct {
	client    kubernetes.Interface
	events    record.EventRecorder
	clock     clock.PassiveClock
	want      []string
	cidrs     networkinglisters.ServiceCIDRLister
	addresses networkinglisters.IPAddressLister
}

func (r *reconciler) deleting(enqueue func(string)) {
	all, err := r.cidrs.List(labels.Everything())
	if err != nil {
		return
	}
	for _, c := range all {
		if c.DeletionTimestamp != nil {
			enqueue(c.Name)
		}
	}
}

// Reconcile implements controller.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, key string) (controller.Result, error) {
	c, err := r.cidrs.Get(key)
	if apierrors.IsNotFound(err) {
		if key != defaultName || len(r.want) == 0 {
			return controller.Result{}, nil
		}
		_, err = r.client.NetworkingV1().ServiceCIDRs().Create(ctx, &networkingv1.ServiceCIDR{
			ObjectMeta: metav1.ObjectMeta{Name: defaultName}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: r.want},
		}, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			err = nil
		}
		return controller.Result{}, err
	}
	if err != nil {
		return controller.Result{}, err
	}
	if c.DeletionTimestamp != nil {
		return r.release(ctx, c)
	}
	if !slices.Contains(c.Finalizers, finalizer) {
		update := c.DeepCopy()
		update.Finalizers = append(update.Finalizers, finalizer)
		if c, err = r.client.NetworkingV1().ServiceCIDRs().Update(ctx, update, metav1.UpdateOptions{}); err != nil {
			return controller.Result{}, err
		}
	}
	ready := metav1.Condition{Type: networkingv1.ServiceCIDRConditionReady, Status: metav1.ConditionTrue, Message: "Kubernetes Service CIDR is ready"}
	if key == defaultName {
		ready.Message = "Kubernetes default Service CIDR is ready"
		if len(r.want) > 0 && !slices.Equal(c.Spec.CIDRs, r.want) {
			r.events.Eventf(c, corev1.EventTypeWarning, "KubernetesDefaultServiceCIDRInconsistent",
				"The default ServiceCIDR %v does not match the controller configuration %v", c.Spec.CIDRs, r.want)
		}
	}
	return controller.Result{}, r.setCondition(ctx, c, ready)
}

// release lets a deleted range go once no address depends on it alone.
func (r *reconciler) release(ctx context.Context, c *networkingv1.ServiceCIDR) (controller.Result, error) {
	if !slices.Contains(c.Finalizers, finalizer) {
		return controller.Result{}, nil
	}
	held, err := r.held(c)
	if err != nil {
		return controller.Result{}, err
	}
	if held {
		return controller.Result{}, r.setCondition(ctx, c, metav1.Condition{
			Type: networkingv1.ServiceCIDRConditionReady, Status: metav1.ConditionFalse, Reason: networkingv1.ServiceCIDRReasonTerminating,
			Message: "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR",
		})
	}
	if left := grace - r.clock.Since(c.DeletionTimestamp.Time); left > 0 {
		return controller.Result{RequeueAfter: left}, nil
	}
	update := c.DeepCopy()
	update.Finalizers = slices.DeleteFunc(update.Finalizers, func(f string) bool { return f == finalizer })
	_, err = r.client.NetworkingV1().ServiceCIDRs().Update(ctx, update, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		err = nil
	}
	return controller.Result{}, err
}

// held tells whether an address is in c and in no other range that stays.
func (r *reconciler) held(c *networkingv1.ServiceCIDR) (bool, error) {
	all, err := r.cidrs.List(labels.Everything())
	if err != nil {
		return false, err
	}
	addrs, err := r.addresses.List(labels.Everything())
	if err != nil {
		return false, err
	}
	for _, o := range addrs {
		a, err := netip.ParseAddr(o.Name)
		if err != nil || !contains(c, a) {
			continue
		}
		if !slices.ContainsFunc(all, func(other *networkingv1.ServiceCIDR) bool {
			return other.Name != c.Name && other.DeletionTimestamp == nil && contains(other, a)
		}) {
			return true, nil
		}
	}
	return false, nil
}

func contains(c *networkingv1.ServiceCIDR, a netip.Addr) bool {
	return slices.ContainsFunc(c.Spec.CIDRs, func(s string) bool {
		p, err := netip.ParsePrefix(s)
		return err == nil && p.Contains(a)
	})
}

func (r *reconciler) setCondition(ctx context.Context, c *networkingv1.ServiceCIDR, cond metav1.Condition) error {
	update := c.DeepCopy()
	cond.LastTransitionTime = metav1.NewTime(r.clock.Now())
	if !meta.SetStatusCondition(&update.Status.Conditions, cond) {
		return nil
	}
	_, err := r.client.NetworkingV1().ServiceCIDRs().UpdateStatus(ctx, update, metav1.UpdateOptions{})
	return err
}
