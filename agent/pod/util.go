package pod

import (
	"encoding/json"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	resourcehelper "k8s.io/component-helpers/resource"

	"skiff/agent/container"
)

var getOptions = metav1.GetOptions{}

func podRef(pod *corev1.Pod) *corev1.ObjectReference { return container.PodRef(pod) }

func isNotFound(err error) bool { return status.Code(err) == codes.NotFound }

func join(words []string) string { return strings.Join(words, ", ") }

func joinWords(words []string) string { return strings.Join(words, " ") }

func podRequests(pod *corev1.Pod) corev1.ResourceList {
	return resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{})
}

// id is a container's ID as the API has it.
func (m *Manager) id(id string) string { return m.cfg.RuntimeName + "://" + id }

// older tells whether a is an earlier version of the object than b. Versions
// that do not compare are taken as they come.
func older(a, b *corev1.Pod) bool {
	if a.UID != b.UID {
		return false
	}
	x, errX := strconv.ParseUint(a.ResourceVersion, 10, 64)
	y, errY := strconv.ParseUint(b.ResourceVersion, 10, 64)
	return errX == nil && errY == nil && x < y
}

func parseSeconds(s string) *int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return nil
	}
	return &n
}

// containerFromAnnotations restores what is needed to stop a container.
func containerFromAnnotations(c *instance) corev1.Container {
	out := corev1.Container{Name: c.Metadata.GetName()}
	if data := c.Annotations[container.AnnotationPreStop]; data != "" {
		var h corev1.LifecycleHandler
		if json.Unmarshal([]byte(data), &h) == nil {
			out.Lifecycle = &corev1.Lifecycle{PreStop: &h}
		}
	}
	if data := c.Annotations[container.AnnotationPorts]; data != "" {
		var ports []corev1.ContainerPort
		if json.Unmarshal([]byte(data), &ports) == nil {
			out.Ports = ports
		}
	}
	return out
}

// findStatus is the API's status of a container of any kind.
func findStatus(pod *corev1.Pod, name string) *corev1.ContainerStatus {
	for _, list := range [][]corev1.ContainerStatus{pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses, pod.Status.EphemeralContainerStatuses} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	return nil
}
