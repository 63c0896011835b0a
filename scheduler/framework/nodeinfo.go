package framework

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// NodeInfo is a node with the pods that are on it or were decided to be. One
// that is part of a Snapshot is immutable.
type NodeInfo struct {
	Node *corev1.Node
	// Pods are the pods on the node that have not ended.
	Pods []*PodInfo
	// WithAffinity are those of Pods that have terms about other pods, and
	// WithAntiAffinity those that require other pods to be elsewhere.
	WithAffinity, WithAntiAffinity []*PodInfo
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
	if p.Terms != noTerms {
		n.WithAffinity = append(n.WithAffinity, p)
	}
	if len(p.Terms.AntiAffinity) > 0 {
		n.WithAntiAffinity = append(n.WithAntiAffinity, p)
	}
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
	n.WithAffinity = without(n.WithAffinity, gone)
	n.WithAntiAffinity = without(n.WithAntiAffinity, gone)
	n.Requested.add(&gone.Requests, -1)
	n.NonZero.add(&gone.NonZero, -1)
	for _, port := range gone.Ports {
		if j := slices.Index(n.Ports, port); j >= 0 {
			n.Ports = slices.Delete(n.Ports, j, j+1)
		}
	}
}

func without(pods []*PodInfo, gone *PodInfo) []*PodInfo {
	if i := slices.Index(pods, gone); i >= 0 {
		return slices.Delete(pods, i, i+1)
	}
	return pods
}

// Clone returns a copy that shares only what is never changed in place.
func (n *NodeInfo) Clone() *NodeInfo {
	c := *n
	c.Pods = slices.Clone(n.Pods)
	c.WithAffinity = slices.Clone(n.WithAffinity)
	c.WithAntiAffinity = slices.Clone(n.WithAntiAffinity)
	c.Ports = slices.Clone(n.Ports)
	c.Requested.Scalar = maps.Clone(n.Requested.Scalar)
	c.NonZero.Scalar = maps.Clone(n.NonZero.Scalar)
	return &c
}

// Snapshot is the cluster as one scheduling cycle sees it. It is immutable.
type Snapshot struct {
	// Nodes are in the order of their names.
	Nodes []*NodeInfo
	// WithAffinity and WithAntiAffinity are those of Nodes that have such pods, so
	// that the others need not be looked at.
	WithAffinity, WithAntiAffinity []*NodeInfo
	// ImageNodes counts the nodes that have an image, by each of its names.
	ImageNodes map[string]int
}

// NewSnapshot returns a Snapshot of nodes, which are in the order of their names.
func NewSnapshot(nodes []*NodeInfo, images map[string]int) *Snapshot {
	s := &Snapshot{Nodes: nodes, ImageNodes: images}
	s.index()
	return s
}

// index finds the nodes for WithAffinity and WithAntiAffinity anew.
func (s *Snapshot) index() {
	s.WithAffinity, s.WithAntiAffinity = nil, nil
	for _, n := range s.Nodes {
		if len(n.WithAffinity) > 0 {
			s.WithAffinity = append(s.WithAffinity, n)
		}
		if len(n.WithAntiAffinity) > 0 {
			s.WithAntiAffinity = append(s.WithAntiAffinity, n)
		}
	}
}

// With returns a Snapshot in which changed nodes take the place of those with
// the same names, all of which the snapshot has.
func (s *Snapshot) With(changed []*NodeInfo, images map[string]int) *Snapshot {
	next := *s
	next.Nodes, next.ImageNodes = slices.Clone(s.Nodes), images
	affinity := false
	for _, n := range changed {
		i, _ := s.find(n.Node.Name)
		affinity = affinity || len(n.WithAffinity) > 0 || len(s.Nodes[i].WithAffinity) > 0
		next.Nodes[i] = n
	}
	if affinity {
		next.index()
	}
	return &next
}

// Node returns the node with this name, nil if there is none.
func (s *Snapshot) Node(name string) *NodeInfo {
	if i, ok := s.find(name); ok {
		return s.Nodes[i]
	}
	return nil
}

func (s *Snapshot) find(name string) (int, bool) {
	return slices.BinarySearchFunc(s.Nodes, name, func(n *NodeInfo, name string) int { return strings.Compare(n.Node.Name, name) })
}
