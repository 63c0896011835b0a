package daemonset

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// pair returns a node's living pod of the latest and of an older revision; false
// if there are several of one sort, which manage will thin out.
func (d *day) pair(list []*corev1.Pod) (latest, older *corev1.Pod, ok bool) {
	for _, p := range list {
		if p.DeletionTimestamp != nil {
			continue
		}
		place := &older
		if d.updated(p) {
			place = &latest
		}
		if *place != nil {
			return nil, nil, false
		}
		*place = p
	}
	return latest, older, true
}

// roll decides which old pods go now, or which nodes get a new one beside it.
func (d *day) roll() {
	lists := map[string][]*corev1.Pod{}
	fits := map[string]fitness{}
	desired := 0
	for name, list := range d.byNode {
		lists[name] = list
	}
	for _, n := range d.nodes {
		f := fit(d.set, n)
		fits[n.Name] = f
		if f.run {
			desired++
			if _, ok := lists[n.Name]; !ok {
				lists[n.Name] = nil
			}
		}
	}
	if surge, unavailable := d.limits(desired); surge == 0 {
		d.rollDown(lists, unavailable)
	} else {
		d.rollSurge(lists, fits, desired, surge)
	}
}

// rollDown deletes old pods first, within maxUnavailable; old pods that are not
// available go at once.
func (d *day) rollDown(lists map[string][]*corev1.Pod, maxUnavailable int) {
	var candidates []*corev1.Pod
	missing := 0
	for _, list := range lists {
		latest, older, ok := d.pair(list)
		switch {
		case !ok, latest == nil && older == nil, latest != nil && older != nil:
			missing++
		case latest != nil:
			if !d.available(latest) {
				missing++
			}
		case !d.available(older):
			d.delete = append(d.delete, older)
			missing++
		default:
			candidates = append(candidates, older)
		}
	}
	sortPods(candidates)
	d.delete = append(d.delete, candidates[:max(0, min(len(candidates), maxUnavailable-missing))]...)
}

// rollSurge makes new pods beside old ones, within maxSurge, and deletes the old
// ones when the new are available. Where no new one may start, old ones go only
// as far as enough others are available.
func (d *day) rollSurge(lists map[string][]*corev1.Pod, fits map[string]fitness, desired, maxSurge int) {
	var candidates []string
	var unfit []*corev1.Pod
	surging, available := 0, 0
	for name, list := range lists {
		latest, older, ok := d.pair(list)
		if !ok {
			surging++
			continue
		}
		if older != nil && d.available(older) || older == nil && latest != nil && d.available(latest) {
			available++
		}
		switch {
		case older == nil:
		case latest != nil && d.available(latest):
			d.delete = append(d.delete, older)
		case latest != nil:
			surging++
		case !d.available(older) && !fits[name].run:
			d.delete = append(d.delete, older)
		case !d.available(older):
			d.create = append(d.create, name)
		case !fits[name].run:
			unfit = append(unfit, older)
		default:
			candidates = append(candidates, name)
		}
	}
	d.create = append(d.create, candidates[:max(0, min(len(candidates), maxSurge-surging))]...)
	d.delete = append(d.delete, unfit[:max(0, min(len(unfit), available-desired))]...)
}

// backoff is how long a node's next failed pod is left alone.
type backoff struct {
	since time.Time
	delay time.Duration
}

// Back-off of failed pods per set and node.
const (
	firstBackoff = time.Second
	lastBackoff  = 15 * time.Minute
)

// backOff returns how long a failed pod must still stay, so that one that fails at
// once is not made again and again; 0 starts the next, doubled time.
func (d *day) backOff(node string, _ *corev1.Pod) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := string(d.set.UID) + "/" + node
	b, ok := d.failed[key]
	if ok {
		if left := b.since.Add(b.delay).Sub(d.now); left > 0 {
			return left
		}
	}
	if d.now.Sub(b.since) > 2*lastBackoff {
		b.delay = 0
	}
	for k, old := range d.failed {
		if d.now.Sub(old.since) > 2*lastBackoff {
			delete(d.failed, k)
		}
	}
	d.failed[key] = backoff{since: d.now, delay: min(max(b.delay*2, firstBackoff), lastBackoff)}
	return 0
}
