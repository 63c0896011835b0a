// Package imagelocality is the plugin that prefers nodes which have the pod's
// images, the larger the better.
package imagelocality

import (
	"context"
	"strings"

	"skiff/scheduler/framework"
)

// Below the least size an image does not count, above the greatest per container
// it counts no more.
const (
	leastSize    int64 = 23 << 20
	greatestSize int64 = 1000 << 20
)

// Plugin is the ImageLocality plugin.
type Plugin struct{}

const name = "ImageLocality"

// Name implements framework.Plugin.
func (Plugin) Name() string { return name }

// images are a pod's, with how widely each is spread (1 is everywhere): a node
// is not to be flooded because it alone has an image.
type images struct {
	names  []string
	spread []float64
}

// PreScore implements framework.PreScorePlugin.
func (Plugin) PreScore(_ context.Context, state *framework.State, pod *framework.PodInfo, snapshot *framework.Snapshot, _ []*framework.NodeInfo) *framework.Status {
	var list images
	add := func(image string) {
		image = normalized(image)
		list.names = append(list.names, image)
		list.spread = append(list.spread, float64(snapshot.ImageNodes[image])/float64(len(snapshot.Nodes)))
	}
	spec := &pod.Pod.Spec
	for i := range spec.InitContainers {
		add(spec.InitContainers[i].Image)
	}
	for i := range spec.Containers {
		add(spec.Containers[i].Image)
	}
	for i := range spec.Volumes {
		if image := spec.Volumes[i].Image; image != nil {
			add(image.Reference)
		}
	}
	state.Put(name, &list)
	return nil
}

// Score implements framework.ScorePlugin.
func (Plugin) Score(_ context.Context, state *framework.State, _ *framework.PodInfo, node *framework.NodeInfo) (int64, *framework.Status) {
	list := framework.Get[*images](state, name)
	var sum int64
	for i, image := range list.names {
		sum += int64(float64(node.Images[image]) * list.spread[i])
	}
	greatest := greatestSize * int64(len(list.names))
	sum = min(max(sum, leastSize), greatest)
	return framework.MaxScore * (sum - leastSize) / (greatest - leastSize), nil
}

// normalized adds the tag that a name without one stands for, since nodes report
// full names.
func normalized(image string) string {
	if strings.LastIndex(image, ":") <= strings.LastIndex(image, "/") {
		return image + ":latest"
	}
	return image
}
