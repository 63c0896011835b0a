package container

import (
	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"skiff/agent/cgroup"
)

// QOS returns a pod's class: what the API server has set, or for a pod without a
// status what follows from its containers.
func QOS(pod *corev1.Pod) corev1.PodQOSClass {
	if pod.Status.QOSClass != "" {
		return pod.Status.QOSClass
	}
	if r := pod.Spec.Resources; r != nil && (len(r.Requests) > 0 || len(r.Limits) > 0) {
		any, equal := classify(r.Requests, r.Limits)
		return class(any, equal)
	}
	any, equal := false, true
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			a, e := classify(list[i].Resources.Requests, list[i].Resources.Limits)
			any = any || a
			equal = equal && e
		}
	}
	return class(any, equal)
}

func class(any, equal bool) corev1.PodQOSClass {
	switch {
	case !any:
		return corev1.PodQOSBestEffort
	case equal:
		return corev1.PodQOSGuaranteed
	}
	return corev1.PodQOSBurstable
}

// classify tells whether any processor or memory is asked for, and whether both
// are limited to exactly what is requested.
func classify(requests, limits corev1.ResourceList) (any, equal bool) {
	equal = true
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		request, limit := requests[name], limits[name]
		any = any || !request.IsZero() || !limit.IsZero()
		if limit.IsZero() || !request.IsZero() && request.Cmp(limit) != 0 {
			equal = false
		}
	}
	return any, equal
}

// resources returns a container's limits.
func (n *Node) resources(pod *corev1.Pod, c *corev1.Container) *runtimeapi.LinuxContainerResources {
	limits := c.Resources.Limits
	cpuLimit := limits.Cpu().MilliValue()
	memoryLimit := limits.Memory().Value()
	if r := pod.Spec.Resources; r != nil {
		if cpuLimit == 0 {
			cpuLimit = r.Limits.Cpu().MilliValue()
		}
		if memoryLimit == 0 {
			memoryLimit = r.Limits.Memory().Value()
		}
	}
	cpuRequest := cpuLimit
	if q, ok := c.Resources.Requests[corev1.ResourceCPU]; ok {
		cpuRequest = q.MilliValue()
	}
	out := &runtimeapi.LinuxContainerResources{
		CpuShares:          cgroup.SharesOf(cpuRequest),
		MemoryLimitInBytes: memoryLimit,
		OomScoreAdj:        oomScore(pod, c, n.MemoryCapacity),
		HugepageLimits:     hugepageLimits(limits),
	}
	if n.EnforceCPULimits {
		out.CpuPeriod = cgroup.DefaultPeriod
		out.CpuQuota = cgroup.QuotaOf(cpuLimit, cgroup.DefaultPeriod)
	}
	if n.Cgroups != nil && n.Cgroups.Unified() {
		// All processes of a container die together when it is out of memory,
		// and none of them swaps.
		out.Unified = map[string]string{"memory.oom.group": "1"}
		if memoryLimit > 0 {
			out.MemorySwapLimitInBytes = memoryLimit
		}
	}
	return out
}

func hugepageLimits(limits corev1.ResourceList) []*runtimeapi.HugepageLimit {
	var out []*runtimeapi.HugepageLimit
	for name, q := range limits {
		if size, ok := cutPrefix(string(name), corev1.ResourceHugePagesPrefix); ok {
			if kernelName, err := cgroup.HugepageName(size); err == nil {
				out = append(out, &runtimeapi.HugepageLimit{PageSize: kernelName, Limit: uint64(q.Value())})
			}
		}
	}
	return out
}

func cutPrefix(s, prefix string) (string, bool) {
	if len(s) > len(prefix) && s[:len(prefix)] == prefix {
		return s[len(prefix):], true
	}
	return s, false
}

// The OOM scores of the classes: the kernel kills high ones first.
const (
	guaranteedScore = -997
	bestEffortScore = 1000
)

// oomScore lets a burstable container live the longer the more of the node's
// memory it has asked for, but never as long as a guaranteed one.
func oomScore(pod *corev1.Pod, c *corev1.Container, capacity int64) int64 {
	if critical(pod) {
		return guaranteedScore
	}
	switch QOS(pod) {
	case corev1.PodQOSGuaranteed:
		return guaranteedScore
	case corev1.PodQOSBestEffort:
		return bestEffortScore
	}
	score := burstableScore(c.Resources.Requests.Memory().Value(), capacity)
	if isInit(pod, c) && IsSidecar(c) {
		// A sidecar lives at least as long as what it serves.
		for i := range pod.Spec.Containers {
			score = min(score, burstableScore(pod.Spec.Containers[i].Resources.Requests.Memory().Value(), capacity))
		}
	}
	return score
}

func burstableScore(request, capacity int64) int64 {
	if capacity <= 0 {
		return bestEffortScore - 1
	}
	score := 1000 - 1000*request/capacity
	return min(max(score, 1000+guaranteedScore), bestEffortScore-1)
}

func isInit(pod *corev1.Pod, c *corev1.Container) bool {
	for i := range pod.Spec.InitContainers {
		if pod.Spec.InitContainers[i].Name == c.Name {
			return true
		}
	}
	return false
}

// systemCritical is the lowest priority of the node-critical class.
const systemNodeCritical = 2000001000

func critical(pod *corev1.Pod) bool {
	return pod.Spec.Priority != nil && *pod.Spec.Priority >= systemNodeCritical
}
