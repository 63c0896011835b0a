package daemonset

import (
	"cmp"
	"context"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"skiff/server/controller/pods"
)

// burst bounds the pods that one reconcile creates or deletes for one set.
const burst = 250

// day is a daemon set with its nodes and pods during one reconcile.
type day struct {
	*reconciler
	key    string
	set    *appsv1.DaemonSet
	nodes  []*corev1.Node
	hash   string
	now    time.Time
	byNode map[string][]*corev1.Pod

	create []string
	delete []*corev1.Pod
	// again is when a failed pod's back-off ends.
	again time.Duration
}

func (d *day) surge() bool {
	s, _ := d.limits(len(d.nodes))
	return s > 0
}

// limits returns how many pods of a rolling update may be above and below one per
// node.
func (d *day) limits(desired int) (surge, unavailable int) {
	u := d.set.Spec.UpdateStrategy.RollingUpdate
	if d.set.Spec.UpdateStrategy.Type != appsv1.RollingUpdateDaemonSetStrategyType {
		return 0, 0
	}
	if u != nil {
		s, err1 := intstr.GetScaledValueFromIntOrPercent(intstr.ValueOrDefault(u.MaxSurge, intstr.FromInt32(0)), desired, true)
		n, err2 := intstr.GetScaledValueFromIntOrPercent(intstr.ValueOrDefault(u.MaxUnavailable, intstr.FromInt32(0)), desired, true)
		if err1 == nil && err2 == nil {
			surge, unavailable = s, n
		}
	}
	if desired > 0 && surge == 0 && unavailable == 0 {
		unavailable = 1
	}
	return surge, unavailable
}

// act first sees to one pod per node; only when that is so does an update go on.
func (d *day) act(ctx context.Context) (time.Duration, error) {
	known := map[string]bool{}
	for _, n := range d.nodes {
		known[n.Name] = true
		d.manage(n)
	}
	for name, list := range d.byNode {
		for _, p := range list {
			if !known[name] && p.Spec.NodeName == "" && p.DeletionTimestamp == nil {
				d.delete = append(d.delete, p) // pinned to a node that is gone
			}
		}
	}
	if len(d.create) == 0 && len(d.delete) == 0 && d.set.Spec.UpdateStrategy.Type == appsv1.RollingUpdateDaemonSetStrategyType {
		d.roll()
	}
	return d.again, d.do(ctx)
}

// manage decides about one node.
func (d *day) manage(node *corev1.Node) {
	f := fit(d.set, node)
	list := d.byNode[node.Name]
	switch {
	case f.run && len(list) == 0:
		d.create = append(d.create, node.Name)
	case f.stay:
		running := d.living(node, list)
		switch {
		case d.surge():
			if len(running) == 0 && f.run {
				d.create = append(d.create, node.Name)
			} else if len(running) > 1 {
				d.thin(running)
			}
		case len(running) > 1:
			d.delete = append(d.delete, running[1:]...)
		}
	default:
		for _, p := range list {
			if p.DeletionTimestamp == nil {
				d.delete = append(d.delete, p)
			}
		}
	}
}

// living returns a node's pods that run, those bound and oldest first, and
// removes the ones that ended: failed ones after a back-off.
func (d *day) living(node *corev1.Node, list []*corev1.Pod) []*corev1.Pod {
	var running []*corev1.Pod
	for _, p := range list {
		switch {
		case p.DeletionTimestamp != nil:
		case p.Status.Phase == corev1.PodFailed:
			if wait := d.backOff(node.Name, p); wait > 0 {
				if d.again == 0 || wait < d.again {
					d.again = wait
				}
				continue
			}
			d.control.Events.Eventf(d.set, corev1.EventTypeWarning, "FailedDaemonPod", "Found failed daemon pod %s/%s on node %s, will try to kill it", p.Namespace, p.Name, node.Name)
			d.delete = append(d.delete, p)
		case p.Status.Phase == corev1.PodSucceeded:
			d.control.Events.Eventf(d.set, corev1.EventTypeNormal, "SucceededDaemonPod", "Found succeeded daemon pod %s/%s on node %s, will try to delete it", p.Namespace, p.Name, node.Name)
			d.delete = append(d.delete, p)
		default:
			running = append(running, p)
		}
	}
	sortPods(running)
	return running
}

// sortPods puts bound pods first, and older ones before younger ones.
func sortPods(list []*corev1.Pod) {
	slices.SortStableFunc(list, func(a, b *corev1.Pod) int {
		if (a.Spec.NodeName == "") != (b.Spec.NodeName == "") {
			if a.Spec.NodeName != "" {
				return -1
			}
			return 1
		}
		return cmp.Or(a.CreationTimestamp.Time.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
}

func (d *day) updated(p *corev1.Pod) bool {
	return p.Labels[appsv1.ControllerRevisionHashLabelKey] == d.hash
}

func (d *day) available(p *corev1.Pod) bool {
	return pods.IsAvailable(p, d.set.Spec.MinReadySeconds, d.now)
}

// thin leaves at most one new and one old pod on a node, and takes the old one
// away when it is of no use any more.
func (d *day) thin(running []*corev1.Pod) {
	var newest, oldest *corev1.Pod
	for _, p := range running {
		switch {
		case d.updated(p) && newest == nil:
			newest = p
		case !d.updated(p) && oldest == nil:
			oldest = p
		default:
			d.delete = append(d.delete, p)
		}
	}
	if newest != nil && oldest != nil && (!pods.IsReady(oldest) || d.available(newest)) {
		d.delete = append(d.delete, oldest)
	}
}

// do carries out what was decided.
func (d *day) do(ctx context.Context) error {
	_, err := pods.SlowStart(min(len(d.create), burst), func(i int) error {
		_, err := d.control.Create(ctx, d.key, d.newPod(d.create[i]), d.set)
		return err
	})
	derr := pods.Each(d.delete[:min(len(d.delete), burst)], func(p *corev1.Pod) error {
		_, err := d.control.Delete(ctx, d.key, p, d.set)
		return err
	})
	return cmp.Or(err, derr)
}

// status counts nodes by their oldest pod.
func (d *day) status() appsv1.DaemonSetStatus {
	s := appsv1.DaemonSetStatus{ObservedGeneration: d.set.Generation, Conditions: d.set.Status.Conditions}
	for _, n := range d.nodes {
		list := slices.Clone(d.byNode[n.Name])
		if !fit(d.set, n).run {
			if len(list) > 0 {
				s.NumberMisscheduled++
			}
			continue
		}
		s.DesiredNumberScheduled++
		if len(list) == 0 {
			continue
		}
		s.CurrentNumberScheduled++
		sortPods(list)
		if pods.IsReady(list[0]) {
			s.NumberReady++
			if d.available(list[0]) {
				s.NumberAvailable++
			}
		}
		if d.updated(list[0]) {
			s.UpdatedNumberScheduled++
		}
	}
	s.NumberUnavailable = s.DesiredNumberScheduled - s.NumberAvailable
	return s
}
