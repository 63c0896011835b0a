package agent

import (
	"cmp"
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Bounds on the images in the node's status.
const (
	maxImages     = 50
	maxImageNames = 5
)

// lookAtImages lists the largest images, for the scheduler, and reports whether
// they have changed.
func (a *Agent) lookAtImages(ctx context.Context) (changed bool) {
	resp, err := a.deps.Images.ListImages(ctx, &runtimeapi.ListImagesRequest{})
	if err != nil {
		return false // the next look may see them
	}
	var out []corev1.ContainerImage
	for _, img := range resp.Images {
		names := slices.Concat(img.RepoDigests, img.RepoTags)
		if len(names) == 0 {
			continue
		}
		out = append(out, corev1.ContainerImage{Names: names[:min(len(names), maxImageNames)], SizeBytes: int64(img.Size)})
	}
	slices.SortFunc(out, func(a, b corev1.ContainerImage) int {
		return cmp.Or(cmp.Compare(b.SizeBytes, a.SizeBytes), cmp.Compare(a.Names[0], b.Names[0]))
	})
	out = out[:min(len(out), maxImages)]
	a.mu.Lock()
	defer a.mu.Unlock()
	changed = !equality.Semantic.DeepEqual(a.nodeImages, out)
	a.nodeImages = out
	return changed
}

// images are those of the last look.
func (a *Agent) images() []corev1.ContainerImage {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.nodeImages
}
