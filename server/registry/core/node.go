package core

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"

	"skiff/server/registry"
	"skiff/server/registry/podtemplate"
	"skiff/server/registry/table"
)

func nodes(d Deps) *registry.Resource {
	r := resourceOf[corev1.Node, corev1.NodeList]("nodes", "Node", "no")
	r.Namespaced = false
	r.Rules.Default = registry.Default(defaultNode)
	r.Rules.PrepareCreate = registry.Prepare(func(_ context.Context, n *corev1.Node) {
		// A node may bring its status along.
		n.Spec.ConfigSource, n.Status.Config, n.Spec.PodPreemptionPolicy = nil, nil, nil
	})
	r.Rules.PrepareUpdate = registry.PrepareUpdate(func(_ context.Context, n, old *corev1.Node) {
		n.Status = old.Status
		if old.Spec.ConfigSource == nil {
			n.Spec.ConfigSource = nil
		}
		if old.Spec.PodPreemptionPolicy == nil {
			n.Spec.PodPreemptionPolicy = nil
		}
	})
	r.Rules.Validate = registry.Validate(validateNode)
	r.Rules.ValidateUpdate = registry.ValidateUpdate(validateNodeUpdate)
	r.Rules.Warnings = nodeWarnings
	r.Volatile = heartbeat
	r.FieldNames = []string{"spec.unschedulable"}
	r.Fields = func(obj registry.Object) fields.Set {
		return fields.Set{"spec.unschedulable": fmt.Sprint(obj.(*corev1.Node).Spec.Unschedulable)}
	}
	r.Columns = nodeColumns()
	r.Cells = registry.Cells(nodeCells)
	r.Subresources = []registry.Subresource{
		{Name: "status", Update: &registry.Rules{
			PrepareUpdate: registry.PrepareUpdate(func(_ context.Context, n, old *corev1.Node) {
				n.Spec = old.Spec
				if old.Status.Config == nil {
					n.Status.Config = nil
				}
			}),
			ValidateUpdate: registry.ValidateUpdate(validateNodeStatusUpdate),
		}},
		{
			Name: "proxy", Kind: corev1.SchemeGroupVersion.WithKind("NodeProxyOptions"), Connect: d.nodeProxy, Verbs: connectVerbs,
			New: registry.New[corev1.NodeProxyOptions](),
		},
	}
	return r
}

func defaultNode(n *corev1.Node) {
	n.Spec.PodCIDR, n.Spec.PodCIDRs = firstAndAll(n.Spec.PodCIDR, n.Spec.PodCIDRs)
	if n.Status.Allocatable == nil && n.Status.Capacity != nil {
		n.Status.Allocatable = n.Status.Capacity.DeepCopy()
	}
	podtemplate.DefaultResourceList(n.Status.Capacity)
	podtemplate.DefaultResourceList(n.Status.Allocatable)
}

// firstAndAll keeps a field and its plural in step; the single one wins.
func firstAndAll(first string, all []string) (string, []string) {
	switch {
	case first == "" && len(all) > 0:
		return all[0], all
	case first != "" && (len(all) == 0 || all[0] != first):
		return first, []string{first}
	}
	return first, all
}

// heartbeat tells whether an update of a node changed nothing but the times at
// which its conditions were looked at.
func heartbeat(obj, old registry.Object) bool {
	if old == nil {
		return false
	}
	n, before := obj.(*corev1.Node), old.(*corev1.Node)
	if len(n.Status.Conditions) != len(before.Status.Conditions) {
		return false
	}
	a, b := *n, *before
	a.ManagedFields, b.ManagedFields = nil, nil
	a.ResourceVersion, b.ResourceVersion = "", ""
	a.Status.Conditions, b.Status.Conditions = nil, nil
	for i := range n.Status.Conditions {
		c := n.Status.Conditions[i]
		c.LastHeartbeatTime = before.Status.Conditions[i].LastHeartbeatTime
		if c != before.Status.Conditions[i] && !equality.Semantic.DeepEqual(c, before.Status.Conditions[i]) {
			return false
		}
	}
	return equality.Semantic.DeepEqual(&a, &b)
}

func nodeWarnings(_ context.Context, obj, _ registry.Object) []string {
	n := obj.(*corev1.Node)
	var texts []string
	if n.Spec.ConfigSource != nil {
		texts = append(texts, "spec.configSource: the feature is removed")
	}
	if n.Spec.DoNotUseExternalID != "" {
		texts = append(texts, "spec.externalID: this field is deprecated, and is unused by Kubernetes")
	}
	for i, cidr := range n.Spec.PodCIDRs {
		texts = append(texts, validation.GetWarningsForCIDR(path("spec", "podCIDRs").Index(i), cidr)...)
	}
	return texts
}

func nodeColumns() []table.Column {
	info, addresses := corev1.NodeSystemInfo{}, table.Doc(corev1.NodeStatus{}, "addresses")
	return []table.Column{
		table.Name(),
		table.String("Status", "The status of the node"),
		table.String("Roles", "The roles of the node"),
		table.Age(),
		table.String("Version", table.Doc(info, "kubeletVersion")),
		table.Wide("Internal-IP", addresses),
		table.Wide("External-IP", addresses),
		table.Wide("OS-Image", table.Doc(info, "osImage")),
		table.Wide("Kernel-Version", table.Doc(info, "kernelVersion")),
		table.Wide("Container-Runtime", table.Doc(info, "containerRuntimeVersion")),
	}
}

func nodeCells(n *corev1.Node) []any {
	info := &n.Status.NodeInfo
	kernel := or(info.KernelVersion, "<unknown>")
	if info.Architecture != "" {
		kernel += " (" + info.Architecture + ")"
	}
	return []any{
		n.Name, nodeStatus(n), or(strings.Join(nodeRoles(n), ","), "<none>"), table.Since(n.CreationTimestamp), info.KubeletVersion,
		nodeAddress(n, corev1.NodeInternalIP), nodeAddress(n, corev1.NodeExternalIP),
		or(info.OSImage, "<unknown>"), kernel, or(info.ContainerRuntimeVersion, "<unknown>"),
	}
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func nodeStatus(n *corev1.Node) string {
	status := "Unknown"
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			status = "Ready"
			if c.Status != corev1.ConditionTrue {
				status = "NotReady"
			}
		}
	}
	if n.Spec.Unschedulable {
		status += ",SchedulingDisabled"
	}
	return status
}

func nodeRoles(n *corev1.Node) []string {
	roles := sets.New[string]()
	for key, value := range n.Labels {
		if role, ok := strings.CutPrefix(key, "node-role.kubernetes.io/"); ok {
			if role != "" {
				roles.Insert(role)
			}
		} else if key == "kubernetes.io/role" && value != "" {
			roles.Insert(value)
		}
	}
	return sets.List(roles)
}

func nodeAddress(n *corev1.Node, t corev1.NodeAddressType) string {
	for _, a := range n.Status.Addresses {
		if a.Type == t {
			return a.Address
		}
	}
	return "<none>"
}
