package core

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry"
)

func takesNodePorts(spec *corev1.ServiceSpec) bool {
	return spec.Type == corev1.ServiceTypeNodePort || spec.Type == corev1.ServiceTypeLoadBalancer
}

// wantsNodePorts tells whether ports that name none get one.
func wantsNodePorts(spec *corev1.ServiceSpec) bool {
	return spec.Type == corev1.ServiceTypeNodePort ||
		spec.Type == corev1.ServiceTypeLoadBalancer && (spec.AllocateLoadBalancerNodePorts == nil || *spec.AllocateLoadBalancerNodePorts)
}

// portPicker takes ports for one service.
type portPicker struct {
	ports PortRange
	read  registry.Reader
	// own are the service's ports: those it holds and those it takes now.
	own map[int32]bool
}

// take takes a certain port.
func (p *portPicker) take(ctx context.Context, port int32) error {
	if p.own[port] {
		return nil
	}
	if int(port) < p.ports.Base || int(port) >= p.ports.Base+p.ports.Size {
		return fmt.Errorf("provided port is not in the valid range. The range of valid ports is %d-%d", p.ports.Base, p.ports.Base+p.ports.Size-1)
	}
	taken, err := p.read.Exists(ctx, portKey(port))
	if err != nil {
		return err
	}
	if taken {
		return errPortTaken
	}
	p.own[port] = true
	return nil
}

// any takes any free port.
func (p *portPicker) any(ctx context.Context) (int32, error) {
	size := uint64(p.ports.Size)
	reserved := band(size, 16, 128, 32)
	n, err := pick(reserved, size, func(n uint64) (bool, error) {
		port := int32(p.ports.Base) + int32(n)
		if p.own[port] {
			return false, nil
		}
		taken, err := p.read.Exists(ctx, portKey(port))
		return !taken, err
	})
	if err != nil {
		return 0, err
	}
	port := int32(p.ports.Base) + int32(n)
	p.own[port] = true
	return port, nil
}

func (a *allocator) allocatePorts(ctx context.Context, r registry.Reader, s, old *corev1.Service) error {
	p := &portPicker{ports: a.ports, read: r, own: map[int32]bool{}}
	if old != nil {
		for _, port := range nodePorts(&old.Spec) {
			p.own[port] = true
		}
	}
	if takesNodePorts(&s.Spec) {
		if err := p.takeNodePorts(ctx, s, old == nil); err != nil {
			return err
		}
	}
	if !needsHealthPort(&s.Spec) || old != nil && needsHealthPort(&old.Spec) {
		return nil
	}
	if port := s.Spec.HealthCheckNodePort; port != 0 {
		if err := p.take(ctx, port); err != nil {
			return apierrors.NewInternalError(fmt.Errorf("failed to allocate requested HealthCheck NodePort %v: %w", port, err))
		}
		return nil
	}
	port, err := p.any(ctx)
	if err != nil {
		return apierrors.NewInternalError(fmt.Errorf("failed to allocate a HealthCheck NodePort %v: %w", port, err))
	}
	s.Spec.HealthCheckNodePort = port
	return nil
}

// takeNodePorts takes the ports that a service asks for, then one for each that
// asks for none. On create, the same port in several protocols gets the same port
// on nodes.
func (p *portPicker) takeNodePorts(ctx context.Context, s *corev1.Service, create bool) error {
	shared := map[int32]int32{}
	ports := s.Spec.Ports
	for i := range ports {
		if ports[i].NodePort == 0 {
			continue
		}
		if err := p.take(ctx, ports[i].NodePort); err != nil {
			return invalidService(s, field.Invalid(path("spec", "ports").Index(i).Child("nodePort"), ports[i].NodePort, err.Error()))
		}
		if _, ok := shared[ports[i].Port]; !ok && create {
			shared[ports[i].Port] = ports[i].NodePort
		}
	}
	for i := range ports {
		if ports[i].NodePort != 0 || !wantsNodePorts(&s.Spec) {
			continue
		}
		if port := shared[ports[i].Port]; port != 0 {
			ports[i].NodePort = port
			continue
		}
		port, err := p.any(ctx)
		if errors.Is(err, errFull) {
			return apierrors.NewInternalError(fmt.Errorf("failed to allocate a nodePort: %w", err))
		}
		if err != nil {
			return err
		}
		ports[i].NodePort = port
		if create {
			shared[ports[i].Port] = port
		}
	}
	return nil
}

// keepAllocated gives an update that leaves out what the server had chosen the
// same again, so that applying a manifest twice works.
func keepAllocated(spec, old *corev1.ServiceSpec) {
	named := corev1.ServiceTypeExternalName
	if spec.Type != named && old.Type != named {
		if spec.ClusterIP == "" {
			spec.ClusterIP = old.ClusterIP
		}
		if len(spec.ClusterIPs) == 0 {
			spec.ClusterIPs = old.ClusterIPs
		}
	}
	if wantsNodePorts(spec) && wantsNodePorts(old) {
		keepNodePorts(spec, old)
	}
	if needsHealthPort(spec) && needsHealthPort(old) && spec.HealthCheckNodePort == 0 {
		spec.HealthCheckNodePort = old.HealthCheckNodePort
	}
}

func keepNodePorts(spec, old *corev1.ServiceSpec) {
	byName := make(map[string]int32, len(old.Ports))
	for _, p := range old.Ports {
		byName[p.Name] = p.NodePort
	}
	used := map[int32]bool{}
	for _, p := range spec.Ports {
		used[p.NodePort] = true
	}
	for i := range spec.Ports {
		p := &spec.Ports[i]
		if before := byName[p.Name]; p.NodePort == 0 && !used[before] {
			p.NodePort = before
		}
	}
}

// dropOfOtherType clears what an update to another type leaves behind, as far as
// the update did not change it too: then validation is to refuse it.
func dropOfOtherType(s, old *corev1.Service) {
	spec, before := &s.Spec, &old.Spec
	if before.Type != corev1.ServiceTypeExternalName && spec.Type == corev1.ServiceTypeExternalName {
		if spec.ClusterIP == before.ClusterIP && sameAddresses(spec, before) {
			spec.ClusterIP, spec.ClusterIPs = "", nil
		}
		if sameFamilies(spec, before) {
			spec.IPFamilies = nil
		}
		if samePointer(spec.IPFamilyPolicy, before.IPFamilyPolicy) {
			spec.IPFamilyPolicy = nil
		}
	}
	if takesNodePorts(before) && !takesNodePorts(spec) && noNewNodePorts(spec, before) {
		for i := range spec.Ports {
			spec.Ports[i].NodePort = 0
		}
	}
	if needsHealthPort(before) && !needsHealthPort(spec) && spec.HealthCheckNodePort == before.HealthCheckNodePort {
		spec.HealthCheckNodePort = 0
	}
	wasBalanced, isBalanced := before.Type == corev1.ServiceTypeLoadBalancer, spec.Type == corev1.ServiceTypeLoadBalancer
	if wasBalanced && !isBalanced {
		if spec.AllocateLoadBalancerNodePorts != nil && samePointer(spec.AllocateLoadBalancerNodePorts, before.AllocateLoadBalancerNodePorts) {
			spec.AllocateLoadBalancerNodePorts = nil
		}
		if samePointer(spec.LoadBalancerClass, before.LoadBalancerClass) {
			spec.LoadBalancerClass = nil
		}
	}
	if externallyAccessible(before) && !externallyAccessible(spec) && spec.ExternalTrafficPolicy == before.ExternalTrafficPolicy {
		spec.ExternalTrafficPolicy = ""
	}
	if !isBalanced {
		s.Status.LoadBalancer = corev1.LoadBalancerStatus{}
	}
}

func noNewNodePorts(spec, old *corev1.ServiceSpec) bool {
	had := map[int32]bool{0: true}
	for _, p := range old.Ports {
		had[p.NodePort] = true
	}
	for _, p := range spec.Ports {
		if !had[p.NodePort] {
			return false
		}
	}
	return true
}
