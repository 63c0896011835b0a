package container

import (
	"encoding/json"
	"hash/fnv"
	"maps"
	"path/filepath"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Labels on sandboxes and containers.
const (
	LabelPodName       = "io.kubernetes.pod.name"
	LabelPodNamespace  = "io.kubernetes.pod.namespace"
	LabelPodUID        = "io.kubernetes.pod.uid"
	LabelContainerName = "io.kubernetes.container.name"
)

// Annotations on containers.
const (
	AnnotationHash                = "io.kubernetes.container.hash"
	AnnotationRestartCount        = "io.kubernetes.container.restartCount"
	AnnotationMessagePath         = "io.kubernetes.container.terminationMessagePath"
	AnnotationMessagePolicy       = "io.kubernetes.container.terminationMessagePolicy"
	AnnotationPorts               = "io.kubernetes.container.ports"
	AnnotationPreStop             = "io.kubernetes.container.preStopHandler"
	AnnotationGracePeriod         = "io.kubernetes.pod.terminationGracePeriod"
	AnnotationDeletionGracePeriod = "io.kubernetes.pod.deletionGracePeriod"
)

// podLabels are a sandbox's: the pod's own, and who it is.
func podLabels(pod *corev1.Pod) map[string]string {
	labels := make(map[string]string, len(pod.Labels)+3)
	maps.Copy(labels, pod.Labels)
	labels[LabelPodName] = pod.Name
	labels[LabelPodNamespace] = pod.Namespace
	labels[LabelPodUID] = string(pod.UID)
	return labels
}

func containerLabels(pod *corev1.Pod, name string) map[string]string {
	return map[string]string{
		LabelPodName:       pod.Name,
		LabelPodNamespace:  pod.Namespace,
		LabelPodUID:        string(pod.UID),
		LabelContainerName: name,
	}
}

// containerAnnotations hold what must be known about a container after the
// agent, or the pod's object, is gone.
func containerAnnotations(pod *corev1.Pod, c *corev1.Container, restarts int) map[string]string {
	a := map[string]string{
		AnnotationHash:          Hash(c),
		AnnotationRestartCount:  strconv.Itoa(restarts),
		AnnotationMessagePath:   c.TerminationMessagePath,
		AnnotationMessagePolicy: string(c.TerminationMessagePolicy),
	}
	if pod.DeletionGracePeriodSeconds != nil {
		a[AnnotationDeletionGracePeriod] = strconv.FormatInt(*pod.DeletionGracePeriodSeconds, 10)
	}
	if pod.Spec.TerminationGracePeriodSeconds != nil {
		a[AnnotationGracePeriod] = strconv.FormatInt(*pod.Spec.TerminationGracePeriodSeconds, 10)
	}
	if c.Lifecycle != nil && c.Lifecycle.PreStop != nil {
		if data, err := json.Marshal(c.Lifecycle.PreStop); err == nil {
			a[AnnotationPreStop] = string(data)
		}
	}
	if len(c.Ports) > 0 {
		if data, err := json.Marshal(c.Ports); err == nil {
			a[AnnotationPorts] = string(data)
		}
	}
	return a
}

// Hash tells container specs apart that need a new container: their name and
// image, which are all that can change in a pod that runs.
func Hash(c *corev1.Container) string {
	h := fnv.New32a()
	h.Write([]byte(c.Name))
	h.Write([]byte{0})
	h.Write([]byte(c.Image))
	return strconv.FormatUint(uint64(h.Sum32()), 16)
}

// PodLogDir is where a pod's logs are.
func (n *Node) PodLogDir(pod *corev1.Pod) string {
	return PodLogDir(n.LogDir, pod.Namespace, pod.Name, pod.UID)
}

// PodLogDir is where a pod's logs are below logDir.
func PodLogDir(logDir, namespace, name string, uid types.UID) string {
	return filepath.Join(logDir, namespace+"_"+name+"_"+string(uid))
}

// LogPath is a container's log file below the pod's log directory.
func LogPath(name string, restarts int) string {
	return filepath.Join(name, strconv.Itoa(restarts)+".log")
}

// PodDir holds all files that the agent keeps for a pod.
func (n *Node) PodDir(uid types.UID) string { return filepath.Join(n.PodsDir, string(uid)) }
