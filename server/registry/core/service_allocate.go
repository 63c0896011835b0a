package core

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry"
)

var (
	errFull           = errors.New("range is full")
	errAddressTaken   = errors.New("provided IP is already allocated")
	errPortTaken      = errors.New("provided port is already allocated")
	serviceKind       = schema.GroupKind{Kind: "Service"}
	ipAddressResource = schema.GroupResource{Group: networkingv1.GroupName, Resource: "ipaddresses"}
)

// allocator gives services their addresses and ports. It holds nothing: what is
// taken are the claims that services hold in the store, which they make with
// their own write. If another service is faster, the write fails and the
// allocator is asked again.
type allocator struct {
	pools map[corev1.IPFamily]*addressPool
	// primary is the family of services that ask for none.
	primary corev1.IPFamily
	owners  map[netip.Addr]types.NamespacedName
	ports   PortRange
}

func newAllocator(d Deps) *allocator {
	a := &allocator{pools: map[corev1.IPFamily]*addressPool{}, primary: corev1.IPv4Protocol, owners: d.ServiceOwners, ports: d.NodePorts}
	for i, cidr := range d.ServiceCIDRs {
		family := corev1.IPv4Protocol
		if cidr.Addr().Is6() {
			family = corev1.IPv6Protocol
		}
		if i == 0 {
			a.primary = family
		}
		a.pools[family] = newAddressPool(cidr)
	}
	return a
}

// serviceClaims are what a service holds: an IPAddress object for each of its
// addresses (KEP-1880), and its ports on nodes.
func serviceClaims(obj registry.Object) []registry.Claim {
	s := obj.(*corev1.Service)
	var claims []registry.Claim
	if s.Spec.Type != corev1.ServiceTypeExternalName && !isHeadless(&s.Spec) {
		for _, ip := range s.Spec.ClusterIPs {
			address, err := netip.ParseAddr(ip)
			if err != nil {
				continue // refused by validation
			}
			claims = append(claims, registry.Claim{Key: addressKey(address), Object: ipAddress(address, s), What: errAddressTaken.Error()})
		}
	}
	for _, port := range nodePorts(&s.Spec) {
		claims = append(claims, registry.Claim{Key: portKey(port), What: errPortTaken.Error()})
	}
	return claims
}

func addressKey(ip netip.Addr) string { return registry.Key(ipAddressResource, "", ip.String()) }

func portKey(port int32) string { return fmt.Sprintf("claims/nodeport/%d", port) }

func ipAddress(ip netip.Addr, s *corev1.Service) *networkingv1.IPAddress {
	return &networkingv1.IPAddress{
		ObjectMeta: metav1.ObjectMeta{
			Name: ip.String(),
			Labels: map[string]string{
				networkingv1.LabelIPAddressFamily: string(familyOf(ip.String())),
				networkingv1.LabelManagedBy:       "ipallocator.k8s.io",
			},
		},
		Spec: networkingv1.IPAddressSpec{ParentRef: &networkingv1.ParentReference{Resource: "services", Namespace: s.Namespace, Name: s.Name}},
	}
}

// nodePorts are the ports that a service holds on nodes, each once.
func nodePorts(spec *corev1.ServiceSpec) []int32 {
	var ports []int32
	seen := map[int32]bool{0: true}
	add := func(port int32) {
		if !seen[port] {
			seen[port] = true
			ports = append(ports, port)
		}
	}
	for _, p := range spec.Ports {
		add(p.NodePort)
	}
	if needsHealthPort(spec) {
		add(spec.HealthCheckNodePort)
	}
	return ports
}

// allocate is the services' Rules.Allocate.
func (a *allocator) allocate(ctx context.Context, r registry.Reader, obj, old registry.Object) error {
	s := obj.(*corev1.Service)
	var before *corev1.Service
	if old != nil {
		before = old.(*corev1.Service)
		keepAllocated(&s.Spec, &before.Spec)
	}
	syncAddresses(s, before)
	if err := a.completeFamilies(s, before); err != nil {
		return err
	}
	if err := a.allocateAddresses(ctx, r, s, before); err != nil {
		return err
	}
	if err := a.allocatePorts(ctx, r, s, before); err != nil {
		return err
	}
	if before != nil {
		dropOfOtherType(s, before)
	}
	return nil
}

func invalidService(s *corev1.Service, errs ...*field.Error) error {
	return apierrors.NewInvalid(serviceKind, s.Name, errs)
}

func (a *allocator) allocateAddresses(ctx context.Context, r registry.Reader, s, old *corev1.Service) error {
	spec := &s.Spec
	if spec.Type == corev1.ServiceTypeExternalName || isHeadless(spec) {
		return nil
	}
	if old != nil && old.Spec.Type != corev1.ServiceTypeExternalName && (isHeadless(&old.Spec) || keepsDualStack(s, old)) {
		return nil
	}
	held := map[string]bool{}
	if old != nil && old.Spec.Type != corev1.ServiceTypeExternalName {
		for _, ip := range old.Spec.ClusterIPs {
			held[ip] = true
		}
	}
	for i, family := range spec.IPFamilies {
		if i < len(spec.ClusterIPs) && held[spec.ClusterIPs[i]] {
			continue
		}
		if old != nil && i == 0 && len(held) > 0 {
			continue // the first address never changes; validation says so
		}
		if i >= len(spec.ClusterIPs) {
			spec.ClusterIPs = append(spec.ClusterIPs, "")
		}
		ip, err := a.address(ctx, r, s, family, spec.ClusterIPs[i])
		if err != nil {
			return err
		}
		spec.ClusterIPs[i] = ip
	}
	if len(spec.ClusterIPs) > 0 && spec.ClusterIP == "" {
		spec.ClusterIP = spec.ClusterIPs[0]
	}
	return nil
}

// address returns the address that is asked for if it is free, or any free one.
func (a *allocator) address(ctx context.Context, r registry.Reader, s *corev1.Service, family corev1.IPFamily, want string) (string, error) {
	pool := a.pools[family]
	if pool == nil {
		return "", invalidService(s, field.Invalid(path("spec", "ipFamilies"), family, "not configured on this cluster"))
	}
	if want == "" {
		ip, err := pool.next(func(ip netip.Addr) (bool, error) {
			if _, owned := a.owners[ip]; owned {
				return false, nil
			}
			taken, err := r.Exists(ctx, addressKey(ip))
			return !taken, err
		})
		if errors.Is(err, errFull) {
			return "", apierrors.NewInternalError(fmt.Errorf("failed to allocate a serviceIP for Service %q: %w", s.Name, err))
		}
		if err != nil {
			return "", err
		}
		return ip.String(), nil
	}
	refuse := func(err error) error {
		return invalidService(s, field.Invalid(path("spec", "clusterIPs"), s.Spec.ClusterIPs, fmt.Sprintf("failed to allocate IP %v: %v", want, err)))
	}
	ip, err := netip.ParseAddr(want)
	if err != nil {
		return "", refuse(err)
	}
	if !pool.contains(ip) {
		return "", refuse(fmt.Errorf("the provided IP (%v) is not in the valid range. The range of valid IPs is %s", ip, pool.cidr))
	}
	if owner, owned := a.owners[ip]; owned && (owner.Namespace != s.Namespace || owner.Name != s.Name) {
		return "", refuse(fmt.Errorf("the provided IP is kept for the service %s", owner))
	}
	taken, err := r.Exists(ctx, addressKey(ip))
	if err != nil {
		return "", err
	}
	if taken {
		return "", refuse(errAddressTaken)
	}
	return want, nil
}
