package agent

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"runtime"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Bounds on the images in the node's status.
const (
	maxImages     = 50
	maxImageNames = 5
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
func (a *Agent) newNode(ctx context.Context) *corev1.Node {
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: a.cfg.NodeName, Labels: a.labels(), Annotations: map[string]string{
			"volumes.kubernetes.io/controller-managed-attach-detach": "true",
		}},
		Spec: corev1.NodeSpec{Taints: slices.Clone(a.cfg.Taints), ProviderID: a.cfg.ProviderID},
	}
	a.setStatus(ctx, n)
	return n
}

// setStatus brings n's status up to date; times of what did not change stay.
func (a *Agent) setStatus(ctx context.Context, n *corev1.Node) {
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
	yes := true
	s.Features = &corev1.NodeFeatures{SupplementalGroupsPolicy: &yes}
	if images, err := a.imageList(ctx); err == nil {
		s.Images = images
	}
	a.setConditions(ctx, n)
}

func (a *Agent) addresses() []corev1.NodeAddress {
	var out []corev1.NodeAddress
	for _, ip := range a.cfg.NodeIPs {
		out = append(out, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: ip.String()})
	}
	return append(out, corev1.NodeAddress{Type: corev1.NodeHostName, Address: a.cfg.NodeName})
}

// imageList are the largest images, for the scheduler.
func (a *Agent) imageList(ctx context.Context) ([]corev1.ContainerImage, error) {
	resp, err := a.deps.Images.ListImages(ctx, &runtimeapi.ListImagesRequest{})
	if err != nil {
		return nil, err
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
	return out[:min(len(out), maxImages)], nil
}

// setConditions sets the four conditions; Ready is the last one by old custom.
func (a *Agent) setConditions(ctx context.Context, n *corev1.Node) {
	for _, c := range []corev1.NodeCondition{
		{Type: corev1.NodeMemoryPressure, Status: corev1.ConditionFalse, Reason: "KubeletHasSufficientMemory", Message: "kubelet has sufficient memory available"},
		{Type: corev1.NodeDiskPressure, Status: corev1.ConditionFalse, Reason: "KubeletHasNoDiskPressure", Message: "kubelet has no disk pressure"},
		{Type: corev1.NodePIDPressure, Status: corev1.ConditionFalse, Reason: "KubeletHasSufficientPID", Message: "kubelet has sufficient PID available"},
		a.ready(ctx),
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
	say := func() {
		a.events.node(corev1.EventTypeNormal, reason, "Node "+a.cfg.NodeName+" status is now: "+reason)
	}
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
func (a *Agent) ready(ctx context.Context) corev1.NodeCondition {
	errs := []error{a.runtimeReady(ctx)}
	a.mu.Lock()
	errs = append(errs, a.cidrErr)
	a.mu.Unlock()
	if err := errors.Join(errs...); err != nil {
		return corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionFalse, Reason: "KubeletNotReady", Message: strings.ReplaceAll(err.Error(), "\n", ", ")}
	}
	return corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", Message: "kubelet is posting ready status"}
}

// runtimeReady asks the runtime about itself and the network.
func (a *Agent) runtimeReady(ctx context.Context) error {
	return errors.Join(a.runtimeCondition(ctx, runtimeapi.RuntimeReady, "container runtime is down"), a.runtimeCondition(ctx, runtimeapi.NetworkReady, "container runtime network not ready"))
}

func (a *Agent) networkReady() error {
	return a.runtimeCondition(context.Background(), runtimeapi.NetworkReady, "container runtime network not ready")
}

func (a *Agent) runtimeCondition(ctx context.Context, kind, text string) error {
	resp, err := a.deps.Runtime.Status(ctx, &runtimeapi.StatusRequest{})
	if err != nil {
		return errors.New("container runtime is down: " + err.Error())
	}
	for _, c := range resp.GetStatus().GetConditions() {
		if c.Type == kind && !c.Status {
			return errors.New(text + ": " + kind + "=false reason:" + c.Reason + " message:" + c.Message)
		}
	}
	return nil
}
