// Package cache is the scheduler's view of nodes and of the pods on them, those
// included that it has decided about but that the API does not show yet.
// Snapshot returns it as it is at one moment, copying only what changed since
// the last one.
package cache

import (
	"maps"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"skiff/scheduler/framework"
)

// Cache is safe for concurrent use.
type Cache struct {
	mu    sync.Mutex
	nodes map[string]*entry
	// pods says on which node each pod is accounted for.
	pods map[types.UID]placed
	// images counts the nodes that have an image.
	images map[string]int

	last *framework.Snapshot
	// changed are the nodes that are not as the last snapshot has them.
	changed       map[string]bool
	namesChanged  bool
	imagesChanged bool
}

// entry is a node. Its info's Node is nil while only pods on it are known.
type entry struct {
	info *framework.NodeInfo
	// shared tells that the last snapshot has this very info: copy before
	// changing it.
	shared bool
}

type placed struct {
	node string
	info *framework.PodInfo
	// assumed tells that the API has not shown the pod on its node yet.
	assumed bool
}

// New returns an empty Cache.
func New() *Cache {
	return &Cache{
		nodes: map[string]*entry{}, pods: map[types.UID]placed{}, images: map[string]int{}, changed: map[string]bool{},
		last: framework.NewSnapshot(nil, map[string]int{}),
	}
}

// change returns the node's info to be changed, making it if necessary.
func (c *Cache) change(node string) *framework.NodeInfo {
	c.changed[node] = true
	e := c.nodes[node]
	switch {
	case e == nil:
		e = &entry{info: &framework.NodeInfo{}}
		c.nodes[node] = e
	case e.shared:
		e.info, e.shared = e.info.Clone(), false
	}
	return e.info
}

// SetNode adds or replaces a node.
func (c *Cache) SetNode(node *corev1.Node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	info := c.change(node.Name)
	if info.Node == nil {
		c.namesChanged = true
	}
	c.countImages(info, -1)
	info.SetNode(node)
	c.countImages(info, 1)
}

// RemoveNode removes a node. Pods on it stay accounted for until they are
// removed, so that a node which comes back is not overfilled.
func (c *Cache) RemoveNode(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	info := c.change(name)
	c.countImages(info, -1)
	info.Node, info.Images, info.Allocatable = nil, nil, framework.Resource{}
	c.namesChanged = true
	c.dropIfEmpty(name)
}

func (c *Cache) dropIfEmpty(name string) {
	if info := c.nodes[name].info; info.Node == nil && len(info.Pods) == 0 {
		delete(c.nodes, name)
	}
}

func (c *Cache) countImages(info *framework.NodeInfo, by int) {
	for image := range info.Images {
		if c.images[image] += by; c.images[image] == 0 {
			delete(c.images, image)
		}
		c.imagesChanged = true
	}
}

// SetPod accounts for a pod on its spec.nodeName, or for its change.
func (c *Cache) SetPod(pod *corev1.Pod) { c.place(framework.NewPodInfo(pod), pod.Spec.NodeName, false) }

// Assume accounts for a pod on the node that was chosen for it.
func (c *Cache) Assume(info *framework.PodInfo, node string) { c.place(info, node, true) }

func (c *Cache) place(info *framework.PodInfo, node string, assumed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(info.Pod)
	c.change(node).AddPod(info)
	c.pods[info.Pod.UID] = placed{node, info, assumed}
}

// Forget undoes Assume, unless the API has shown the pod on a node meanwhile.
func (c *Cache) Forget(pod *corev1.Pod) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pods[pod.UID].assumed {
		c.remove(pod)
	}
}

// RemovePod removes a pod that ended or was deleted.
func (c *Cache) RemovePod(pod *corev1.Pod) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(pod)
}

// Has tells whether the pod is accounted for on a node.
func (c *Cache) Has(uid types.UID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.pods[uid]
	return ok
}

func (c *Cache) remove(pod *corev1.Pod) {
	p, ok := c.pods[pod.UID]
	if !ok {
		return
	}
	c.change(p.node).RemovePod(pod)
	delete(c.pods, pod.UID)
	c.dropIfEmpty(p.node)
}

// Snapshot returns the nodes that exist, with their pods. It is immutable.
func (c *Cache) Snapshot() *framework.Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	images := c.last.ImageNodes
	if c.imagesChanged {
		images = maps.Clone(c.images)
	}
	switch {
	case c.namesChanged:
		c.last = framework.NewSnapshot(c.sorted(), images)
	case len(c.changed) > 0:
		c.last = c.last.With(c.updated(), images)
	}
	clear(c.changed)
	c.namesChanged, c.imagesChanged = false, false
	return c.last
}

func (c *Cache) sorted() []*framework.NodeInfo {
	list := make([]*framework.NodeInfo, 0, len(c.nodes))
	for _, e := range c.nodes {
		if e.info.Node != nil {
			e.shared = true
			list = append(list, e.info)
		}
	}
	slices.SortFunc(list, func(a, b *framework.NodeInfo) int { return strings.Compare(a.Node.Name, b.Node.Name) })
	return list
}

// updated returns the nodes that changed and exist.
func (c *Cache) updated() (list []*framework.NodeInfo) {
	for name := range c.changed {
		if e := c.nodes[name]; e != nil && e.info.Node != nil {
			e.shared = true
			list = append(list, e.info)
		}
	}
	return list
}
