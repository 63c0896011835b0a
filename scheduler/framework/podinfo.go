package framework

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	resourcehelper "k8s.io/component-helpers/resource"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
)

// What a container that asks for nothing is taken to need when nodes are ranked,
// so that such pods spread as well.
const (
	defaultMilliCPU int64 = 100
	defaultMemory   int64 = 200 << 20
)

// PodInfo is a pod with what plugins need of it, computed once.
type PodInfo struct {
	Pod *corev1.Pod
	// Requests are the pod's, its overhead included.
	Requests Resource
	// NonZero are the requests with defaults for what asks for nothing; only
	// MilliCPU and Memory.
	NonZero Resource
	// Ports are the host ports that the pod needs.
	Ports []HostPort
	// Affinity is the required node selector and affinity.
	Affinity nodeaffinity.RequiredNodeAffinity
	// Terms are its affinity and anti-affinity to other pods; never nil.
	Terms *PodTerms
}

// QueuedPod is a pod that waits to be scheduled.
type QueuedPod struct {
	*PodInfo
	// Since is when it first entered the queue, or last became schedulable.
	Since time.Time
	// Attempts counts the cycles that found no node.
	Attempts int
	// RejectedBy names the plugins that rejected the last attempt.
	RejectedBy map[string]bool
}

// NewPodInfo computes what plugins need of pod.
func NewPodInfo(pod *corev1.Pod) *PodInfo {
	nonZero := resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{
		UseStatusResources: true,
		NonMissingContainerRequests: corev1.ResourceList{
			corev1.ResourceCPU:    milliQuantity(defaultMilliCPU),
			corev1.ResourceMemory: quantity(defaultMemory),
		},
	})
	return &PodInfo{
		Pod:      pod,
		Requests: NewResource(resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{UseStatusResources: true})),
		NonZero:  NewResource(nonZero),
		Ports:    hostPorts(pod),
		Affinity: nodeaffinity.GetRequiredNodeAffinity(pod),
		Terms:    NewPodTerms(pod),
	}
}

// HostPort is a port of the node that a pod takes.
type HostPort struct {
	// IP is the address that it listens on; all if it is "0.0.0.0".
	IP       string
	Protocol corev1.Protocol
	Port     int32
}

const anyIP = "0.0.0.0"

// Conflicts tells whether two ports cannot be taken on the same node.
func (p HostPort) Conflicts(q HostPort) bool {
	return p.Port == q.Port && p.Protocol == q.Protocol && (p.IP == q.IP || p.IP == anyIP || q.IP == anyIP)
}

func hostPorts(pod *corev1.Pod) (ports []HostPort) {
	add := func(c *corev1.Container) {
		for _, p := range c.Ports {
			if p.HostPort <= 0 {
				continue
			}
			port := HostPort{IP: p.HostIP, Protocol: p.Protocol, Port: p.HostPort}
			if port.IP == "" {
				port.IP = anyIP
			}
			if port.Protocol == "" {
				port.Protocol = corev1.ProtocolTCP
			}
			ports = append(ports, port)
		}
	}
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			add(c)
		}
	}
	for i := range pod.Spec.Containers {
		add(&pod.Spec.Containers[i])
	}
	return ports
}
