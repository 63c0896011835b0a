package hollow

import (
	"bufio"
	"context"
	"errors"
	"io"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"skiff/server/clusterinfo"
)

// agent is one hollow agent.
type agent struct {
	node   string
	client kubernetes.Interface
}

func newAgent(node string, cfg *rest.Config) (*agent, error) {
	c, err := kubernetes.NewForConfig(cfg)
	return &agent{node: node, client: c}, err
}

// register makes the node, which is Ready at once.
func (a *agent) register(ctx context.Context) error {
	room := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourceMemory: resource.MustParse("1Gi"), corev1.ResourcePods: resource.MustParse("110"),
	}
	_, err := a.client.CoreV1().Nodes().Create(ctx, &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: a.node, Labels: map[string]string{corev1.LabelHostname: a.node, corev1.LabelOSStable: "linux"}},
		Status: corev1.NodeStatus{Capacity: room, Allocatable: room, Conditions: []corev1.NodeCondition{{
			Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", LastHeartbeatTime: metav1.Now(), LastTransitionTime: metav1.Now(),
		}}},
	}, metav1.CreateOptions{})
	return err
}

// leaseDuration and its renewal are an agent's.
const (
	leaseDuration = 40 * time.Second
	leaseRenewal  = leaseDuration / 4
)

// keepLease renews the node's lease until ctx ends.
func (a *agent) keepLease(ctx context.Context) error {
	leases := a.client.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	seconds := int32(leaseDuration / time.Second)
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: a.node, Namespace: corev1.NamespaceNodeLease},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &a.node, LeaseDurationSeconds: &seconds, RenewTime: now()},
	}
	lease, err := leases.Create(ctx, lease, metav1.CreateOptions{})
	tick := time.NewTicker(leaseRenewal)
	defer tick.Stop()
	for err == nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		lease.Spec.RenewTime = now()
		lease, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
	}
	return err
}

func now() *metav1.MicroTime {
	t := metav1.NowMicro()
	return &t
}

// stream is a watch that an agent keeps open.
type stream struct {
	client    func(kubernetes.Interface) rest.Interface
	resource  string
	namespace string // "" for all
	only      string // a field selector, "" for all
}

// watches are those of an agent without pods.
func watches(node string) []stream {
	core := func(c kubernetes.Interface) rest.Interface { return c.CoreV1().RESTClient() }
	discovery := func(c kubernetes.Interface) rest.Interface { return c.DiscoveryV1().RESTClient() }
	named := func(name string) string { return fields.OneTermEqualSelector(metav1.ObjectNameField, name).String() }
	return []stream{
		{client: core, resource: "pods", only: fields.OneTermEqualSelector("spec.nodeName", node).String()},
		{client: core, resource: "nodes"},
		{client: core, resource: "services"},
		{client: core, resource: "namespaces"},
		{client: discovery, resource: "endpointslices"},
		{client: core, resource: "configmaps", namespace: clusterinfo.Namespace, only: named(clusterinfo.Name)},
		{client: core, resource: "configmaps", namespace: clusterinfo.Namespace, only: named("skiff-dns")},
	}
}

// open opens a watch, from what is there on.
func (a *agent) open(ctx context.Context, w stream) (io.ReadCloser, error) {
	r := w.client(a.client).Get().Resource(w.resource).NamespaceIfScoped(w.namespace, w.namespace != "").Param("watch", "true").Param("resourceVersion", "0").Param("allowWatchBookmarks", "true")
	if w.only != "" {
		r = r.Param("fieldSelector", w.only)
	}
	return r.Stream(ctx)
}

var errWatchEnded = errors.New("the server ended a watch")

// drain reads to the end, which a watch must not have.
func drain(body io.ReadCloser) error {
	defer body.Close()
	_, err := bufio.NewReaderSize(body, 4<<10).WriteTo(io.Discard)
	if err == nil {
		err = errWatchEnded
	}
	return err
}
