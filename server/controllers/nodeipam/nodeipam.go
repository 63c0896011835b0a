// Package nodeipam gives each node its own block of the cluster's pod addresses
// (spec.podCIDR, spec.podCIDRs), one per address family.
//
// What is taken is read from the nodes themselves at each allocation, so there is
// no state to lose. One key is worked on at a time, and the blocks given out are
// remembered until the cache shows them.
package nodeipam

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/record"

	"skiff/server/controller"
)

// Config is what there is to give out.
type Config struct {
	// ClusterCIDRs has at most one prefix of each family.
	ClusterCIDRs []netip.Prefix
	// MaskSize4 and MaskSize6 are the lengths of the nodes' prefixes.
	MaskSize4, MaskSize6 int
}

// New returns the controller; its keys are nodes' names.
func New(client kubernetes.Interface, f informers.SharedInformerFactory, events record.EventRecorder, cfg Config) (controller.Controller, error) {
	r := &reconciler{client: client, events: events, nodes: f.Core().V1().Nodes().Lister(), given: map[string][]netip.Prefix{}}
	for _, p := range cfg.ClusterCIDRs {
		bits := cfg.MaskSize4
		if p.Addr().Is6() {
			bits = cfg.MaskSize6
		}
		if bits < p.Bits() || bits > p.Addr().BitLen() || bits-p.Bits() > 16 {
			return controller.Controller{}, fmt.Errorf("cluster cidr %s can't be divided into blocks of /%d: the block must be smaller by at most 16 bits", p, bits)
		}
		r.ranges = append(r.ranges, blocks{cluster: p.Masked(), bits: bits})
	}
	return controller.Controller{
		Name: "node-ipam", Reconciler: r,
		Sources: []controller.Source{controller.Watch(f.Core().V1().Nodes().Informer(), func(old, new *corev1.Node, enqueue func(string)) {
			if new == nil {
				enqueue(old.Name)
			} else if len(new.Spec.PodCIDRs) == 0 {
				enqueue(new.Name)
			}
		})},
	}, nil
}

type reconciler struct {
	client kubernetes.Interface
	events record.EventRecorder
	nodes  corelisters.NodeLister
	ranges []blocks
	// given are blocks that were written to nodes and may not be in the cache.
	given map[string][]netip.Prefix
}

// Reconcile implements controller.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, key string) (controller.Result, error) {
	node, err := r.nodes.Get(key)
	if apierrors.IsNotFound(err) {
		delete(r.given, key)
		// A block is free again: nodes that got none may have it.
		return controller.Result{}, r.serveWaiting(ctx)
	}
	if err != nil || node.DeletionTimestamp != nil || len(node.Spec.PodCIDRs) > 0 || len(r.ranges) == 0 {
		return controller.Result{}, err
	}
	return controller.Result{}, r.serve(ctx, node)
}

func (r *reconciler) serveWaiting(ctx context.Context) error {
	all, err := r.nodes.List(labels.Everything())
	if err != nil {
		return err
	}
	for _, n := range all {
		if len(n.Spec.PodCIDRs) == 0 && n.DeletionTimestamp == nil && len(r.ranges) > 0 {
			if err := r.serve(ctx, n); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *reconciler) serve(ctx context.Context, node *corev1.Node) error {
	taken, err := r.taken(node.Name)
	if err != nil {
		return err
	}
	prefixes := r.given[node.Name]
	if prefixes == nil {
		for _, b := range r.ranges {
			p, ok := b.free(taken)
			if !ok {
				r.events.Eventf(node, corev1.EventTypeNormal, "CIDRNotAvailable", "Node %s status is now: CIDRNotAvailable", node.Name)
				return fmt.Errorf("no free block of /%d in cluster cidr %s for node %s", b.bits, b.cluster, node.Name)
			}
			prefixes = append(prefixes, p)
		}
	}
	cidrs := make([]string, len(prefixes))
	for i, p := range prefixes {
		cidrs[i] = p.String()
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": node.UID},
		"spec":     map[string]any{"podCIDR": cidrs[0], "podCIDRs": cidrs},
	})
	if err != nil {
		return err
	}
	// Kept also if the outcome is not known: the next try gives the same.
	r.given[node.Name] = prefixes
	_, err = r.client.CoreV1().Nodes().Patch(ctx, node.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	if err != nil {
		return fmt.Errorf("give node %s its block: %w", node.Name, err)
	}
	return nil
}

// taken returns the blocks of all nodes but one.
func (r *reconciler) taken(but string) ([]netip.Prefix, error) {
	all, err := r.nodes.List(labels.Everything())
	if err != nil {
		return nil, err
	}
	var out []netip.Prefix
	for _, n := range all {
		if n.Name == but {
			continue
		}
		for _, c := range n.Spec.PodCIDRs {
			if p, err := netip.ParsePrefix(c); err == nil {
				out = append(out, p)
			}
		}
	}
	for name, ps := range r.given {
		if name != but {
			out = append(out, ps...)
		}
	}
	return out, nil
}

// blocks is a prefix divided into equal parts.
type blocks struct {
	cluster netip.Prefix
	bits    int
}

// free returns the first part that overlaps none of taken.
func (b blocks) free(taken []netip.Prefix) (netip.Prefix, bool) {
	used := make([]bool, 1<<(b.bits-b.cluster.Bits()))
	for _, p := range taken {
		for i := range b.touched(p) {
			used[i] = true
		}
	}
	i := slices.Index(used, false)
	if i < 0 {
		return netip.Prefix{}, false
	}
	return b.nth(i), true
}

// touched yields the numbers of the parts that p overlaps: a block of another
// size is from a time when the cluster was configured otherwise.
func (b blocks) touched(p netip.Prefix) iter.Seq[int] {
	return func(yield func(int) bool) {
		if !p.Overlaps(b.cluster) {
			return
		}
		first, count := 0, 1<<(b.bits-b.cluster.Bits())
		if p.Bits() > b.cluster.Bits() {
			first = b.number(p.Masked().Addr())
			count = 1 << max(0, b.bits-p.Bits())
		}
		for i := range count {
			if !yield(first + i) {
				return
			}
		}
	}
}

// number is that of the part which has the address.
func (b blocks) number(a netip.Addr) (n int) {
	bytes := a.AsSlice()
	for at := b.cluster.Bits(); at < b.bits; at++ {
		n = n<<1 | int(bytes[at/8]>>(7-at%8)&1)
	}
	return n
}

// nth is the part with a number.
func (b blocks) nth(n int) netip.Prefix {
	a := b.cluster.Addr().AsSlice()
	for bit := range b.bits - b.cluster.Bits() {
		if n>>bit&1 == 1 {
			at := b.bits - 1 - bit
			a[at/8] |= 1 << (7 - at%8)
		}
	}
	addr, _ := netip.AddrFromSlice(a)
	return netip.PrefixFrom(addr, b.bits)
}
