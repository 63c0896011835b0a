package offline

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"skiff/server/clusterinfo"
)

// object is one of the API's, with its encoding in protobuf.
type object interface {
	runtime.Object
	metav1.Object
	Marshal() ([]byte, error)
	Unmarshal([]byte) error
}

// kind is a kind of objects that an informer holds.
type kind struct {
	bucket bucket
	object func() object
	list   func() runtime.Object
	source func(c kubernetes.Interface, node string) *cache.ListWatch
	// urgent tells whether a change must not wait for others. Nil is never.
	urgent func(before, now object) bool
	// trim, if not nil, returns what is kept of an object.
	trim func(object) object
}

var kinds = []*kind{
	{
		bucket: bucketPod,
		object: func() object { return &corev1.Pod{} },
		list:   func() runtime.Object { return &corev1.PodList{} },
		source: func(c kubernetes.Interface, node string) *cache.ListWatch {
			return source(c.CoreV1().Pods(""), fields.OneTermEqualSelector("spec.nodeName", node).String())
		},
		urgent: podChanged,
	},
	{
		bucket: "nodes",
		object: func() object { return &corev1.Node{} },
		list:   func() runtime.Object { return &corev1.NodeList{} },
		source: func(c kubernetes.Interface, _ string) *cache.ListWatch { return source(c.CoreV1().Nodes(), "") },
		trim:   trimNode,
	},
	{
		bucket: "services",
		object: func() object { return &corev1.Service{} },
		list:   func() runtime.Object { return &corev1.ServiceList{} },
		source: func(c kubernetes.Interface, _ string) *cache.ListWatch { return source(c.CoreV1().Services(""), "") },
	},
	{
		bucket: "endpointslices",
		object: func() object { return &discoveryv1.EndpointSlice{} },
		list:   func() runtime.Object { return &discoveryv1.EndpointSliceList{} },
		source: func(c kubernetes.Interface, _ string) *cache.ListWatch {
			return source(c.DiscoveryV1().EndpointSlices(""), "")
		},
	},
	{
		bucket: "namespaces",
		object: func() object { return &corev1.Namespace{} },
		list:   func() runtime.Object { return &corev1.NamespaceList{} },
		source: func(c kubernetes.Interface, _ string) *cache.ListWatch { return source(c.CoreV1().Namespaces(), "") },
	},
	{
		bucket: clusterinfo.DNSName,
		object: func() object { return &corev1.ConfigMap{} },
		list:   func() runtime.Object { return &corev1.ConfigMapList{} },
		source: func(c kubernetes.Interface, _ string) *cache.ListWatch {
			return source(c.CoreV1().ConfigMaps(clusterinfo.Namespace), fields.OneTermEqualSelector(metav1.ObjectNameField, clusterinfo.DNSName).String())
		},
	},
}

// podChanged leaves out what the runtime, or the next look at the pod, tells again:
// all of its status but that it has ended.
func podChanged(before, now object) bool {
	old, pod := before.(*corev1.Pod), now.(*corev1.Pod)
	return old.UID != pod.UID || old.Generation != pod.Generation || old.Status.Phase != pod.Status.Phase ||
		(old.DeletionTimestamp == nil) != (pod.DeletionTimestamp == nil)
}

// trimNode leaves out what changes with every heartbeat and what nobody needs of a
// node while it cannot be asked, so that heartbeats do not reach the disk.
func trimNode(o object) object {
	n := *o.(*corev1.Node)
	n.ResourceVersion = ""
	n.Status.Images, n.Status.VolumesInUse, n.Status.VolumesAttached = nil, nil, nil
	conditions := make([]corev1.NodeCondition, len(n.Status.Conditions))
	for i, c := range n.Status.Conditions {
		c.LastHeartbeatTime = metav1.Time{}
		conditions[i] = c
	}
	n.Status.Conditions = conditions
	return &n
}

// lister is what clients of all kinds have in common.
type lister[L runtime.Object] interface {
	List(context.Context, metav1.ListOptions) (L, error)
	Watch(context.Context, metav1.ListOptions) (watch.Interface, error)
}

func source[L runtime.Object](c lister[L], selector string) *cache.ListWatch {
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = selector
			return c.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector = selector
			return c.Watch(ctx, o)
		},
	}
}
