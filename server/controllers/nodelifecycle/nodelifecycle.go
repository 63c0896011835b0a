// Package nodelifecycle notices nodes that stopped reporting, sets their
// conditions to Unknown, and keeps the taints that follow from a node's
// conditions.
//
// A node's heartbeat is its lease in kube-node-lease or its status, whichever
// moved last, timed by this process's own clock from when it saw the change: the
// clocks of boxes are not to be trusted. One timer per node is due when its grace
// period would end; a renewal only moves that on.
package nodelifecycle

import (
	"context"
	"slices"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	coordinationlisters "k8s.io/client-go/listers/coordination/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"

	"skiff/server/controller"
	"skiff/server/controller/pods"
)

// Config are the times that a node may be silent; zero means upstream's default.
type Config struct {
	// MonitorGrace is for nodes that reported before (40 s).
	MonitorGrace time.Duration
	// StartupGrace is for nodes that never did (60 s).
	StartupGrace time.Duration
}

// New returns the controller; its keys are nodes' names.
func New(client kubernetes.Interface, f informers.SharedInformerFactory, events record.EventRecorder, clk clock.PassiveClock, cfg Config) (controller.Controller, error) {
	if cfg.MonitorGrace == 0 {
		cfg.MonitorGrace = 40 * time.Second
	}
	if cfg.StartupGrace == 0 {
		cfg.StartupGrace = time.Minute
	}
	node, pod, lease := f.Core().V1().Nodes(), f.Core().V1().Pods(), f.Coordination().V1().Leases()
	if err := pods.Index(pod.Informer()); err != nil {
		return controller.Controller{}, err
	}
	r := &reconciler{
		Config: cfg, client: client, events: events, clock: clk, nodes: node.Lister(), leases: lease.Lister(),
		pods: pod.Informer().GetIndexer(), seen: map[string]heartbeat{},
	}
	return controller.Controller{
		Name: "node-lifecycle", Reconciler: r, Workers: 2,
		Sources: []controller.Source{
			controller.Watch(node.Informer(), r.onNode),
			controller.Watch(lease.Informer(), r.onLease),
			controller.Watch(pod.Informer(), r.onPod),
		},
	}, nil
}

type reconciler struct {
	Config
	client kubernetes.Interface
	events record.EventRecorder
	clock  clock.PassiveClock
	nodes  corelisters.NodeLister
	leases coordinationlisters.LeaseLister
	pods   cache.Indexer

	mu   sync.Mutex
	seen map[string]heartbeat
}

// heartbeat is when a node was last heard of, and what it said then.
type heartbeat struct {
	at     time.Time
	status metav1.Time
	lease  metav1.MicroTime
}

// onLease notes a renewal. The node is looked at only if it was given up before,
// so that renewals cost next to nothing.
func (r *reconciler) onLease(_, new *coordinationv1.Lease, enqueue func(string)) {
	if new == nil || new.Namespace != corev1.NamespaceNodeLease || new.Spec.RenewTime == nil {
		return
	}
	r.mu.Lock()
	h, known := r.seen[new.Name]
	if h.lease.Before(new.Spec.RenewTime) {
		h.at, h.lease = r.clock.Now(), *new.Spec.RenewTime
		r.seen[new.Name] = h
	}
	r.mu.Unlock()
	if !known {
		enqueue(new.Name)
	}
}

func (r *reconciler) onNode(old, new *corev1.Node, enqueue func(string)) {
	if (old != nil && isReady(old)) != (new != nil && isReady(new)) {
		r.wakeUnready(enqueue)
	}
	if new == nil {
		r.mu.Lock()
		delete(r.seen, old.Name)
		r.mu.Unlock()
		r.event(old, "RemovingNode", "Removing Node "+old.Name+" from Controller")
		return
	}
	if old == nil {
		r.event(new, "RegisteredNode", "Registered Node "+new.Name+" in Controller")
	}
	c := condition(new, corev1.NodeReady)
	r.mu.Lock()
	h, known := r.seen[new.Name]
	if c != nil && c.Status != corev1.ConditionUnknown && (!known || !h.status.Equal(&c.LastHeartbeatTime)) {
		h.at, h.status = r.clock.Now(), c.LastHeartbeatTime
		r.seen[new.Name] = h
	}
	r.mu.Unlock()
	if old == nil || !sameForUs(old, new) {
		enqueue(new.Name)
	}
}

func sameForUs(a, b *corev1.Node) bool {
	if a.Spec.Unschedulable != b.Spec.Unschedulable || !apiequality.Semantic.DeepEqual(a.Spec.Taints, b.Spec.Taints) || len(a.Status.Conditions) != len(b.Status.Conditions) {
		return false
	}
	for i := range a.Status.Conditions {
		if a.Status.Conditions[i].Type != b.Status.Conditions[i].Type || a.Status.Conditions[i].Status != b.Status.Conditions[i].Status {
			return false
		}
	}
	for _, l := range stableLabels {
		if a.Labels[l[0]] != b.Labels[l[0]] || a.Labels[l[1]] != b.Labels[l[1]] {
			return false
		}
	}
	return true
}

// onPod looks at the node of a pod that got ready while its node is not.
func (r *reconciler) onPod(_, new *corev1.Pod, enqueue func(string)) {
	if new == nil || new.Spec.NodeName == "" || !pods.IsReady(new) {
		return
	}
	if n, err := r.nodes.Get(new.Spec.NodeName); err == nil {
		if condition(n, corev1.NodeReady) != nil && !isReady(n) {
			enqueue(n.Name)
		}
	}
}

func condition(n *corev1.Node, t corev1.NodeConditionType) *corev1.NodeCondition {
	for i := range n.Status.Conditions {
		if n.Status.Conditions[i].Type == t {
			return &n.Status.Conditions[i]
		}
	}
	return nil
}

// Reconcile implements controller.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, key string) (controller.Result, error) {
	node, err := r.nodes.Get(key)
	if apierrors.IsNotFound(err) {
		return controller.Result{}, nil
	}
	if err != nil {
		return controller.Result{}, err
	}
	again, node, err := r.checkHealth(ctx, node.DeepCopy())
	if err != nil {
		return controller.Result{}, err
	}
	if node, err = r.checkLabels(ctx, node); err != nil {
		return controller.Result{}, err
	}
	if err := r.checkTaints(ctx, node); err != nil {
		return controller.Result{}, err
	}
	if condition(node, corev1.NodeReady) != nil && !isReady(node) {
		if err := r.unreadyPods(ctx, node.Name); err != nil {
			return controller.Result{}, err
		}
	}
	return controller.Result{RequeueAfter: again}, nil
}

// silence returns how long the node may still be silent; at most 0 if it is gone.
func (r *reconciler) silence(n *corev1.Node) time.Duration {
	c := condition(n, corev1.NodeReady)
	r.mu.Lock()
	defer r.mu.Unlock()
	h, ok := r.seen[n.Name]
	switch {
	case c == nil && h.at.IsZero():
		return n.CreationTimestamp.Add(r.StartupGrace).Sub(r.clock.Now())
	case !ok || h.at.IsZero():
		// Given up by an earlier leader, or this process just began: the grace
		// period starts now.
		h.at = r.clock.Now()
		r.seen[n.Name] = h
	}
	return h.at.Add(r.MonitorGrace).Sub(r.clock.Now())
}

// watched are the conditions that nobody vouches for when the agent is silent.
var watched = []corev1.NodeConditionType{corev1.NodeReady, corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure}

// checkHealth sets the conditions of a silent node to Unknown, and returns when
// the node has to be looked at again.
func (r *reconciler) checkHealth(ctx context.Context, n *corev1.Node) (time.Duration, *corev1.Node, error) {
	left := r.silence(n)
	if left >= 0 {
		return left + 50*time.Millisecond, n, nil
	}
	now := metav1.NewTime(r.clock.Now())
	changed := false
	for _, t := range watched {
		c := condition(n, t)
		switch {
		case c == nil:
			n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{
				Type: t, Status: corev1.ConditionUnknown, Reason: "NodeStatusNeverUpdated", Message: "Kubelet never posted node status.",
				LastHeartbeatTime: n.CreationTimestamp, LastTransitionTime: now,
			})
			changed = true
		case c.Status != corev1.ConditionUnknown:
			c.Status, c.Reason, c.Message, c.LastTransitionTime = corev1.ConditionUnknown, "NodeStatusUnknown", "Kubelet stopped posting node status.", now
			changed = true
		}
	}
	if !changed {
		return 0, n, nil // its next report wakes us
	}
	// The cache of leases may be behind: what counts is the lease as it is now.
	lease, err := r.client.CoordinationV1().Leases(corev1.NamespaceNodeLease).Get(ctx, n.Name, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return 0, nil, err
	}
	if err == nil && r.renewed(lease) {
		fresh, err := r.nodes.Get(n.Name)
		return r.MonitorGrace, fresh, err
	}
	out, err := r.client.CoreV1().Nodes().UpdateStatus(ctx, n, metav1.UpdateOptions{})
	if err != nil {
		return 0, nil, err
	}
	r.events.Eventf(reference(n), corev1.EventTypeNormal, "NodeNotReady", "Node %s status is now: NodeNotReady", n.Name)
	return 0, out, nil
}

func (r *reconciler) renewed(lease *coordinationv1.Lease) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.seen[lease.Name]
	if lease.Spec.RenewTime == nil || !h.lease.Before(lease.Spec.RenewTime) {
		return false
	}
	h.at, h.lease = r.clock.Now(), *lease.Spec.RenewTime
	r.seen[lease.Name] = h
	return true
}

// event records that a node has come or gone.
func (r *reconciler) event(n *corev1.Node, reason, text string) {
	r.events.Eventf(reference(n), corev1.EventTypeNormal, reason, "Node %s event: %s", n.Name, text)
}

// reference names a node in events as kubectl describe looks for it.
func reference(n *corev1.Node) *corev1.ObjectReference {
	return &corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: n.Name, UID: n.UID}
}

// unreadyPods takes the pods of a silent node out of service.
func (r *reconciler) unreadyPods(ctx context.Context, node string) error {
	on, err := pods.OnNode(r.pods, node)
	if err != nil {
		return err
	}
	return pods.Each(pods.Filter(on, pods.IsReady), func(p *corev1.Pod) error {
		update := p.DeepCopy()
		c := pods.Condition(update, corev1.PodReady)
		c.Status, c.LastTransitionTime = corev1.ConditionFalse, metav1.NewTime(r.clock.Now())
		_, err := r.client.CoreV1().Pods(p.Namespace).UpdateStatus(ctx, update, metav1.UpdateOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err == nil {
			r.events.Event(p, corev1.EventTypeWarning, "NodeNotReady", "Node is not ready")
		}
		return err
	})
}

// stableLabels are pairs of an old label and the one that replaced it; the second
// gets the value of the first.
var stableLabels = [][2]string{
	{corev1.LabelFailureDomainBetaZone, corev1.LabelTopologyZone},
	{corev1.LabelFailureDomainBetaRegion, corev1.LabelTopologyRegion},
}

// checkLabels keeps pairs of labels that have the same meaning in step, where
// both are there, and the stable names of platform labels.
func (r *reconciler) checkLabels(ctx context.Context, n *corev1.Node) (*corev1.Node, error) {
	var update *corev1.Node
	for _, l := range append(slices.Clone(stableLabels), [2]string{"beta.kubernetes.io/os", corev1.LabelOSStable}, [2]string{"beta.kubernetes.io/arch", corev1.LabelArchStable}) {
		v, ok := n.Labels[l[0]]
		if !ok || n.Labels[l[1]] == v {
			continue
		}
		if _, both := n.Labels[l[1]]; !both && slices.Contains(stableLabels, l) {
			continue
		}
		if update == nil {
			update = n.DeepCopy()
		}
		update.Labels[l[1]] = v
	}
	if update == nil {
		return n, nil
	}
	return r.client.CoreV1().Nodes().Update(ctx, update, metav1.UpdateOptions{})
}
