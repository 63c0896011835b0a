package framework

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// NodeInfo is a node with the pods that are on it or were decided to be. One
// that is part of a Snapshot is immutable.
type NodeInfo struct {
	Node *corev1.Node
	// Pods are the pods on the node that have not ended.
	Pods []*PodInfo
	// Requested and NonZero are the sums over Pods; see PodInfo.
	Requested, NonZero Resource
	Allocatable        Resource
	Ports              []HostPort
	// Images are the sizes in bytes of the images that the node has, by each of
	// their names.
	Images map[string]int64
}

// SetNode replaces the node, keeping the pods.
func (n *NodeInfo) SetNode(node *corev1.Node) {
	n.Node = node
	n.Allocatable = NewResource(node.Status.Allocatable)
	n.Images = make(map[string]int64, len(node.Status.Images))
	for _, image := range node.Status.Images {
		for _, name := range image.Names {
			n.Images[name] = image.SizeBytes
		}
	}
}

// AddPod accounts for a pod on the node.
func (n *NodeInfo) AddPod(p *PodInfo) {
	n.Pods = append(n.Pods, p)
	n.Requested.add(&p.Requests, 1)
	n.NonZero.add(&p.NonZero, 1)
	n.Ports = append(n.Ports, p.Ports...)
}

// RemovePod undoes AddPod; it does nothing if the pod is not there.
func (n *NodeInfo) RemovePod(pod *corev1.Pod) {
	i := slices.IndexFunc(n.Pods, func(p *PodInfo) bool { return p.Pod.UID == pod.UID })
	if i < 0 {
		return
	}
	gone := n.Pods[i]
	n.Pods = slices.Delete(n.Pods, i, i+1)
	n.Requested.add(&gone.Requests, -1)
	n.NonZero.add(&gone.NonZero, -1)
	for _, port := range gone.Ports {
		if j := slices.Index(n.Ports, port); j >= 0 {
			n.Ports = slices.Delete(n.Ports, j, j+1)
		}
	}
}

// Clone returns a copy that shares only what is never changed in place.
func (n *NodeInfo) Clone() *NodeInfo {
	c := *n
	c.Pods = slices.Clone(n.Pods)
	c.Ports = slices.Clone(n.Ports)
	c.Requested.Scalar = maps.Clone(n.Requested.Scalar)
	c.NonZero.Scalar = maps.Clone(n.NonZero.Scalar)
	return &c
}

// Snapshot is the cluster as one scheduling cycle sees it. It is immutable.
type Snapshot struct {
	// Nodes are in the order of their names.
	Nodes []*NodeInfo
	// ImageNodes counts the nodes that have an image, by each of its names.
	ImageNodes map[string]int
}

// Node returns the node with this name, nil if there is none.
func (s *Snapshot) Node(name string) *NodeInfo {
	i, ok := slices.BinarySearchFunc(s.Nodes, name, func(n *NodeInfo, name string) int {
		switch {
		case n.Node.Name < name:
			return -1
		case n.Node.Name > name:
			return 1
		}
		return 0
	})
	if !ok {
		return nil
	}
	return s.Nodes[i]
}
