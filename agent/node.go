package agent

import (
	"errors"
	"maps"
	"runtime"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// labels are those that every node has, and the configured ones.
func (a *Agent) labels() map[string]string {
	l := map[string]string{
		corev1.LabelHostname:      a.cfg.NodeName,
		corev1.LabelOSStable:      runtime.GOOS,
		corev1.LabelArchStable:    runtime.GOARCH,
		"beta.kubernetes.io/os":   runtime.GOOS,
		"beta.kubernetes.io/arch": runtime.GOARCH,
	}
	maps.Copy(l, a.cfg.Labels)
	return l
}

// newNode is the object that the node registers with.
func (a *Agent) newNode() *corev1.Node {
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: a.cfg.NodeName, Labels: a.labels(), Annotations: map[string]string{
			"volumes.kubernetes.io/controller-managed-attach-detach": "true",
		}},
		Spec: corev1.NodeSpec{Taints: slices.Clone(a.cfg.Taints), ProviderID: a.cfg.ProviderID},
	}
	a.setStatus(n)
	return n
}

// setStatus brings n's status up to date; times of what did not change stay.
func (a *Agent) setStatus(n *corev1.Node) {
	s := &n.Status
	s.Addresses = a.addresses()
	s.Capacity, s.Allocatable = a.capacity(), a.allocatable()
	s.DaemonEndpoints.KubeletEndpoint.Port = int32(max(a.cfg.Port, 0))
	boot := s.NodeInfo.BootID
	s.NodeInfo = corev1.NodeSystemInfo{
		MachineID: a.machine.machineID, SystemUUID: a.machine.uuid, BootID: a.machine.bootID,
		KernelVersion: a.machine.kernel, OSImage: a.machine.osImage, OperatingSystem: runtime.GOOS, Architecture: runtime.GOARCH,
		ContainerRuntimeVersion: a.runtimeName + "://" + strings.TrimPrefix(a.runtimeVersion, "v"), KubeletVersion: a.cfg.Version,
	}
	if a.machine.swap > 0 {
		s.NodeInfo.Swap = &corev1.NodeSwapStatus{Capacity: &a.machine.swap}
	}
	if boot != "" && boot != a.machine.bootID {
		a.events.node(corev1.EventTypeWarning, "Rebooted", "Node "+a.cfg.NodeName+" has been rebooted, boot id: "+a.machine.bootID)
	}
	s.Features, s.RuntimeHandlers = a.runtime.Load().features, a.runtime.Load().handlers
	s.DeclaredFeatures = declaredFeatures()
	s.Images = a.images()
	a.setConditions(n)
}

func (a *Agent) addresses() []corev1.NodeAddress {
	var out []corev1.NodeAddress
	for _, ip := range a.NodeIPs() {
		out = append(out, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: ip.String()})
	}
	return append(out, corev1.NodeAddress{Type: corev1.NodeHostName, Address: a.cfg.NodeName})
}

// setConditions sets the four conditions; Ready is the last one by old custom.
func (a *Agent) setConditions(n *corev1.Node) {
	for _, c := range []corev1.NodeCondition{
		{Type: corev1.NodeMemoryPressure, Status: corev1.ConditionFalse, Reason: "KubeletHasSufficientMemory", Message: "kubelet has sufficient memory available"},
		{Type: corev1.NodeDiskPressure, Status: corev1.ConditionFalse, Reason: "KubeletHasNoDiskPressure", Message: "kubelet has no disk pressure"},
		{Type: corev1.NodePIDPressure, Status: corev1.ConditionFalse, Reason: "KubeletHasSufficientPID", Message: "kubelet has sufficient PID available"},
		a.ready(),
	} {
		a.setCondition(n, c)
	}
}

// conditionEvents are recorded when a condition's status changes.
var conditionEvents = map[corev1.NodeConditionType][2]string{
	corev1.NodeMemoryPressure: {"NodeHasInsufficientMemory", "NodeHasSufficientMemory"},
	corev1.NodeDiskPressure:   {"NodeHasDiskPressure", "NodeHasNoDiskPressure"},
	corev1.NodePIDPressure:    {"NodeHasInsufficientPID", "NodeHasSufficientPID"},
	corev1.NodeReady:          {"NodeReady", "NodeNotReady"},
}

func (a *Agent) setCondition(n *corev1.Node, c corev1.NodeCondition) {
	now := metav1.Now().Rfc3339Copy()
	c.LastHeartbeatTime, c.LastTransitionTime = now, now
	reason := conditionEvents[c.Type][1]
	if c.Status == corev1.ConditionTrue {
		reason = conditionEvents[c.Type][0]
	}
	say := func() { a.events.nodeStatus(reason) }
	for i := range n.Status.Conditions {
		old := &n.Status.Conditions[i]
		if old.Type != c.Type {
			continue
		}
		if old.Status == c.Status {
			c.LastTransitionTime = old.LastTransitionTime
		} else {
			say()
		}
		*old = c
		return
	}
	n.Status.Conditions = append(n.Status.Conditions, c)
	if c.Type != corev1.NodeReady {
		say()
	}
}

// ready is true if pods can be started.
func (a *Agent) ready() corev1.NodeCondition {
	rt := a.runtime.Load()
	a.mu.Lock()
	err := errors.Join(rt.down, rt.network, a.cidrErr)
	a.mu.Unlock()
	if err != nil {
		return corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionFalse, Reason: "KubeletNotReady", Message: strings.ReplaceAll(err.Error(), "\n", ", ")}
	}
	return corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", Message: "kubelet is posting ready status"}
}
