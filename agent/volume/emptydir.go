package volume

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"
)

// setEmptyDir makes a directory that everyone may write to, on disk, in memory
// or on huge pages.
func (m *Manager) setEmptyDir(pod *corev1.Pod, v *corev1.Volume) error {
	dir := m.path(pod.UID, v)
	fresh := false
	if _, err := os.Stat(dir); os.IsNotExist(err) {
		fresh = true
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	medium := v.EmptyDir.Medium
	switch {
	case medium == corev1.StorageMediumDefault:
	case medium == corev1.StorageMediumMemory:
		is, err := m.cfg.Mounter.IsMount(dir)
		if err != nil {
			return err
		}
		if !is {
			fresh = true
			if err := tmpfs(m.cfg.Mounter, dir, m.memoryOptions(pod, v)); err != nil {
				return err
			}
		}
	case strings.HasPrefix(string(medium), string(corev1.StorageMediumHugePages)):
		if is, err := m.cfg.Mounter.IsMount(dir); is || err != nil {
			return err
		}
		fresh = true
		size, err := hugepageSize(pod, medium)
		if err != nil {
			return err
		}
		if err := m.cfg.Mounter.Mount("nodev", dir, "hugetlbfs", 0, "pagesize="+size); err != nil {
			return err
		}
	default:
		return fmt.Errorf("unknown storage medium %q", medium)
	}
	if !fresh {
		return nil
	}
	// The mode of MkdirAll is subject to the umask.
	if err := os.Chmod(dir, 0o777); err != nil {
		return err
	}
	return setOwner(dir, fsGroup(pod), false, policy(pod))
}

// memoryOptions bound a tmpfs by the volume's limit, the pod's memory limit and
// the node's memory, whichever is the smallest.
func (m *Manager) memoryOptions(pod *corev1.Pod, v *corev1.Volume) string {
	size := int64(0)
	lower := func(n int64) {
		if n > 0 && (size == 0 || n < size) {
			size = n
		}
	}
	if m.cfg.Node != nil {
		allocatable := m.cfg.Node.Allocatable()
		lower(allocatable.Memory().Value())
	}
	if allMemoryLimited(pod) {
		limits := resourcehelper.PodLimits(pod, resourcehelper.PodResourcesOptions{})
		lower(limits.Memory().Value())
	}
	if v.EmptyDir.SizeLimit != nil {
		lower(v.EmptyDir.SizeLimit.Value())
	}
	if size == 0 {
		return ""
	}
	return "size=" + strconv.FormatInt(size, 10)
}

func allMemoryLimited(pod *corev1.Pod) bool {
	for i := range pod.Spec.Containers {
		if pod.Spec.Containers[i].Resources.Limits.Memory().IsZero() {
			return false
		}
	}
	return true
}

// hugepageSize is that of the medium, or the only one that the pod asks for.
func hugepageSize(pod *corev1.Pod, medium corev1.StorageMedium) (string, error) {
	if size, ok := strings.CutPrefix(string(medium), string(corev1.StorageMediumHugePagesPrefix)); ok {
		q, err := resource.ParseQuantity(size)
		if err != nil {
			return "", fmt.Errorf("huge page size %q: %w", size, err)
		}
		return strconv.FormatInt(q.Value(), 10), nil
	}
	requests := resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{})
	found := ""
	for name := range requests {
		if size, ok := strings.CutPrefix(string(name), corev1.ResourceHugePagesPrefix); ok {
			if found != "" {
				return "", fmt.Errorf("medium %q needs exactly one huge page size in the pod's requests", medium)
			}
			q, err := resource.ParseQuantity(size)
			if err != nil {
				return "", fmt.Errorf("huge page size %q: %w", size, err)
			}
			found = strconv.FormatInt(q.Value(), 10)
		}
	}
	if found == "" {
		return "", fmt.Errorf("medium %q needs a huge page size in the pod's requests", medium)
	}
	return found, nil
}
