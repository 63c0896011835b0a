package volume

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"skiff/agent/fieldpath"
)

// field reads what a downward API file shows.
func (m *Manager) field(pod *corev1.Pod, item *corev1.DownwardAPIVolumeFile, podIPs []string) (string, error) {
	switch {
	case item.FieldRef != nil:
		return m.podField(pod, item.FieldRef.FieldPath, podIPs)
	case item.ResourceFieldRef != nil:
		c := fieldpath.Container(pod, item.ResourceFieldRef.ContainerName)
		if c == nil {
			return "", fmt.Errorf("container %s not found", item.ResourceFieldRef.ContainerName)
		}
		return fieldpath.Resource(item.ResourceFieldRef, c, m.cfg.Node.Allocatable())
	}
	return "", fmt.Errorf("file %q has no source", item.Path)
}

func (m *Manager) podField(pod *corev1.Pod, path string, podIPs []string) (string, error) {
	switch path {
	case "spec.nodeName":
		return m.cfg.Node.Name, nil
	case "spec.serviceAccountName":
		return pod.Spec.ServiceAccountName, nil
	case "status.hostIP":
		return m.cfg.Node.IPs()[0].String(), nil
	case "status.podIP":
		if len(podIPs) > 0 {
			return podIPs[0], nil
		}
		return "", nil
	case "status.podIPs":
		return strings.Join(podIPs, ","), nil
	}
	return fieldpath.Metadata(pod, path)
}
