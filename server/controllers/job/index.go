package job

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"skiff/server/controller/pods"
)

// intervals are completion indexes, sorted and merged, as the status has them
// ("1,3-5").
type intervals [][2]int

func parseIntervals(s string, completions int) intervals {
	var out intervals
	for _, part := range strings.Split(s, ",") {
		a, b, ok := strings.Cut(part, "-")
		first, err := strconv.Atoi(a)
		if err != nil || first >= completions {
			continue
		}
		last := first
		if ok {
			if last, err = strconv.Atoi(b); err != nil {
				continue
			}
		}
		out = append(out, [2]int{first, min(last, completions-1)})
	}
	return out.merged()
}

func (v intervals) merged() intervals {
	s := slices.Clone(v)
	slices.SortFunc(s, func(a, b [2]int) int { return cmp.Compare(a[0], b[0]) })
	var out intervals
	for _, i := range s {
		if n := len(out); n > 0 && i[0] <= out[n-1][1]+1 {
			out[n-1][1] = max(out[n-1][1], i[1])
		} else {
			out = append(out, i)
		}
	}
	return out
}

// with returns v and more indexes.
func (v intervals) with(indexes ...int) intervals {
	s := slices.Clone(v)
	for _, i := range indexes {
		s = append(s, [2]int{i, i})
	}
	return s.merged()
}

func (v intervals) total() (n int) {
	for _, i := range v {
		n += i[1] - i[0] + 1
	}
	return n
}

func (v intervals) has(ix int) bool {
	return slices.ContainsFunc(v, func(i [2]int) bool { return i[0] <= ix && ix <= i[1] })
}

// String prints two neighbours as two numbers, more as a range.
func (v intervals) String() string {
	var parts []string
	for _, i := range v {
		switch {
		case i[0] == i[1]:
			parts = append(parts, strconv.Itoa(i[0]))
		case i[0]+1 == i[1]:
			parts = append(parts, fmt.Sprintf("%d,%d", i[0], i[1]))
		default:
			parts = append(parts, fmt.Sprintf("%d-%d", i[0], i[1]))
		}
	}
	return strings.Join(parts, ",")
}

// indexOf returns a pod's completion index, -1 if it has none.
func indexOf(p *corev1.Pod) int {
	i, err := strconv.Atoi(p.Annotations[batchv1.JobCompletionIndexAnnotation])
	if err != nil || i < 0 {
		return -1
	}
	return i
}

// lookAtIndexes finds which indexes have succeeded and failed.
func (p *pass) lookAtIndexes() {
	n := int(*p.job.Spec.Completions)
	p.prevGoodIndexes = parseIntervals(p.job.Status.CompletedIndexes, n)
	p.goodIndexes = p.prevGoodIndexes
	for _, pod := range p.pods {
		if ix := indexOf(pod); pod.Status.Phase == corev1.PodSucceeded && ix >= 0 && ix < n && p.holding[pod.UID] {
			p.goodIndexes = p.goodIndexes.with(ix)
		}
	}
	if !p.perIndex() {
		return
	}
	if s := p.job.Status.FailedIndexes; s != nil {
		p.badIndexes = parseIntervals(*s, n)
	}
	for _, pod := range p.pods {
		if ix := indexOf(pod); ix >= 0 && ix < n && p.holding[pod.UID] && p.indexFailed(pod) {
			p.badIndexes = p.badIndexes.with(ix)
		}
	}
	p.findDelayed(n)
}

// indexFailed tells whether this failure is its index's last.
func (p *pass) indexFailed(pod *corev1.Pod) bool {
	if !p.hasFailed(pod) {
		return false
	}
	_, counts, action := match(p.job.Spec.PodFailurePolicy, pod)
	if action == batchv1.PodFailurePolicyActionFailIndex {
		return true
	}
	return counts && failureCount(pod) >= *p.job.Spec.BackoffLimitPerIndex
}

func failureCount(pod *corev1.Pod) int32 { return number(pod, batchv1.JobIndexFailureCountAnnotation) }
func ignoredCount(pod *corev1.Pod) int32 {
	return number(pod, batchv1.JobIndexIgnoredFailureCountAnnotation)
}

func number(pod *corev1.Pod, annotation string) int32 {
	n, err := strconv.ParseUint(pod.Annotations[annotation], 10, 31)
	if err != nil {
		return 0
	}
	return int32(n)
}

// findDelayed finds for each index that will be tried again the failed pod that
// tells how often it failed; it stays until its successor was made.
func (p *pass) findDelayed(n int) {
	p.delayed = map[int]*corev1.Pod{}
	busy := map[int]bool{}
	for _, pod := range p.active {
		busy[indexOf(pod)] = true
	}
	for _, pod := range p.pods {
		ix := indexOf(pod)
		if !p.holding[pod.UID] || !p.hasFailed(pod) || ix < 0 || ix >= n || busy[ix] || p.goodIndexes.has(ix) || p.badIndexes.has(ix) {
			continue
		}
		last := p.delayed[ix]
		if last == nil || failureCount(last)+ignoredCount(last) <= failureCount(pod)+ignoredCount(pod) {
			p.delayed[ix] = pod
		}
	}
}

// carryFailures writes into the next pod of an index how often it failed before.
func (p *pass) carryFailures(pod *corev1.Pod, ix int) {
	var counted, ignored int32
	if last := p.delayed[ix]; last != nil {
		counted, ignored = failureCount(last), ignoredCount(last)
		if _, counts, _ := match(p.job.Spec.PodFailurePolicy, last); counts {
			counted++
		} else {
			ignored++
		}
	}
	pod.Annotations[batchv1.JobIndexFailureCountAnnotation] = strconv.Itoa(int(counted))
	if ignored > 0 {
		pod.Annotations[batchv1.JobIndexIgnoredFailureCountAnnotation] = strconv.Itoa(int(ignored))
	}
}

// pendingIndexes returns the first n indexes that have no pod and did not end.
func (p *pass) pendingIndexes(n int) []int {
	taken := append(slices.Clone(p.goodIndexes), p.badIndexes...).merged()
	for _, pod := range p.pods {
		if pods.IsActive(pod) || p.onlyFailed() && pods.IsTerminating(pod) {
			if ix := indexOf(pod); ix >= 0 {
				taken = taken.with(ix)
			}
		}
	}
	var out []int
	for ix := 0; ix < int(*p.job.Spec.Completions) && len(out) < n; ix++ {
		if !taken.has(ix) {
			out = append(out, ix)
		}
	}
	return out
}

// dueIndexes keeps those indexes whose own back-off has passed.
func (p *pass) dueIndexes(indexes []int) []int {
	var due []int
	for _, ix := range indexes {
		var left time.Duration
		if last := p.delayed[ix]; last != nil {
			left = failures{count: failureCount(last) + ignoredCount(last) + 1, last: finishTime(last)}.left(p.now)
		}
		if left > 0 {
			p.wait(left)
		} else {
			due = append(due, ix)
		}
	}
	return due
}

// doubles splits the active pods into those whose index is out of range or taken
// by a better one, and the rest.
func (p *pass) doubles() (rm, left []*corev1.Pod) {
	byIndex := map[int][]*corev1.Pod{}
	for _, pod := range p.active {
		ix := indexOf(pod)
		if ix < 0 || ix >= int(*p.job.Spec.Completions) {
			rm = append(rm, pod)
			continue
		}
		byIndex[ix] = append(byIndex[ix], pod)
	}
	for _, same := range byIndex {
		pods.SortForDeletion(same, nil, time.Time{})
		rm = append(rm, same[:len(same)-1]...)
		left = append(left, same[len(same)-1])
	}
	return rm, left
}
