// Package container translates a pod of the API into what the Container Runtime
// Interface takes: the sandbox's and the containers' configurations. It decides
// nothing about when to create them; package pod does.
//
// Names of labels and annotations on sandboxes and containers are upstream's, so
// that tools that look at a node's runtime (crictl, log collectors) find what
// they know.
package container

import (
	"fmt"
	"log/slog"
	"net/netip"

	corev1 "k8s.io/api/core/v1"

	"skiff/agent/cgroup"
	"skiff/agent/objects"
	"skiff/agent/userns"
)

// Node is what the translation needs to know about the node and its cluster.
type Node struct {
	Name string
	// IPs returns the node's addresses as they are now, at least one.
	IPs           func() []netip.Addr
	ClusterDNS    []netip.Addr
	ClusterDomain string
	// ResolvConf is the node's own resolver configuration file.
	ResolvConf string
	// HostsFile is the node's own hosts file ("/etc/hosts").
	HostsFile string
	// LogDir holds a directory per pod.
	LogDir string
	// PodsDir holds a directory per pod UID.
	PodsDir string
	// MemoryCapacity in bytes, for the OOM scores.
	MemoryCapacity int64
	// Allocatable stands in for limits that containers do not have.
	Allocatable      func() corev1.ResourceList
	EnforceCPULimits bool
	Cgroups          *cgroup.Manager
	// Users gives pods user namespaces of their own; nil where there are none.
	Users   *userns.Allocator
	Objects objects.Source
	// Services returns all services of a namespace.
	Services func(namespace string) ([]*corev1.Service, error)
	// Warn records an event about a pod.
	Warn func(pod *corev1.Pod, reason, message string)
	Log  *slog.Logger
}

// Describe names a pod in messages as upstream does: name_namespace(uid).
func Describe(pod *corev1.Pod) string {
	return fmt.Sprintf("%s_%s(%s)", pod.Name, pod.Namespace, pod.UID)
}

// IsSidecar tells whether an init container keeps running (KEP-753).
func IsSidecar(c *corev1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

// HostNetwork tells whether the pod lives in the node's network namespace.
func HostNetwork(pod *corev1.Pod) bool { return pod.Spec.HostNetwork }
