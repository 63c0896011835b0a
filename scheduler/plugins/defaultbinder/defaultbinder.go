// Package defaultbinder is the plugin that binds a pod to its node through the
// API's binding subresource.
package defaultbinder

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"skiff/scheduler/framework"
)

// Plugin is the DefaultBinder plugin.
type Plugin struct{ client kubernetes.Interface }

// New returns the plugin, binding with client.
func New(client kubernetes.Interface) Plugin { return Plugin{client} }

// Name implements framework.Plugin.
func (Plugin) Name() string { return "DefaultBinder" }

// Bind implements framework.BindPlugin.
func (p Plugin) Bind(ctx context.Context, _ *framework.State, pod *framework.PodInfo, node string) *framework.Status {
	return framework.AsStatus(p.client.CoreV1().Pods(pod.Pod.Namespace).Bind(ctx, &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Pod.Namespace, Name: pod.Pod.Name, UID: pod.Pod.UID},
		Target:     corev1.ObjectReference{Kind: "Node", Name: node},
	}, metav1.CreateOptions{}))
}
