package endpoints

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	lib "k8s.io/endpointslice"
	libutil "k8s.io/endpointslice/util"
	utilnet "k8s.io/utils/net"

	"skiff/server/controller/pods"
)

// capacity is the number of addresses that one Endpoints object holds at most.
const capacity = 1000

type address struct {
	corev1.EndpointAddress
	ready bool
}

// subsets returns the service's endpoints: the ports that are served by the same
// addresses share a subset.
func subsets(svc *corev1.Service, own []*corev1.Pod) []corev1.EndpointSubset {
	byPort := map[corev1.EndpointPort][]address{}
	for _, p := range own {
		if !libutil.ShouldPodBeInEndpoints(p, svc.Spec.PublishNotReadyAddresses) {
			continue
		}
		a, ok := addressOf(svc, p)
		if !ok {
			continue
		}
		if len(svc.Spec.Ports) == 0 && svc.Spec.ClusterIP == corev1.ClusterIPNone {
			byPort[corev1.EndpointPort{}] = append(byPort[corev1.EndpointPort{}], a)
		}
		for i := range svc.Spec.Ports {
			sp := &svc.Spec.Ports[i]
			n, err := lib.FindPort(p, sp)
			if err != nil {
				continue // this pod does not have the named port
			}
			ep := corev1.EndpointPort{Name: sp.Name, Port: int32(n), Protocol: sp.Protocol, AppProtocol: sp.AppProtocol}
			byPort[ep] = append(byPort[ep], a)
		}
	}
	return pack(byPort)
}

func addressOf(svc *corev1.Service, p *corev1.Pod) (address, bool) {
	want6 := false
	switch {
	case len(svc.Spec.IPFamilies) > 0:
		want6 = svc.Spec.IPFamilies[0] == corev1.IPv6Protocol
	case svc.Spec.ClusterIP != "" && svc.Spec.ClusterIP != corev1.ClusterIPNone:
		want6 = utilnet.IsIPv6String(svc.Spec.ClusterIP)
	default:
		want6 = utilnet.IsIPv6String(p.Status.PodIP)
	}
	for _, ip := range p.Status.PodIPs {
		if utilnet.IsIPv6String(ip.IP) != want6 {
			continue
		}
		a := address{ready: svc.Spec.PublishNotReadyAddresses || pods.IsReady(p), EndpointAddress: corev1.EndpointAddress{
			IP: ip.IP, NodeName: &p.Spec.NodeName,
			TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: p.Namespace, Name: p.Name, UID: p.UID},
		}}
		if libutil.ShouldSetHostname(p, svc) {
			a.Hostname = p.Spec.Hostname
		}
		return a, true
	}
	return address{}, false
}

// pack groups ports with the same addresses, everything in a stable order.
func pack(byPort map[corev1.EndpointPort][]address) []corev1.EndpointSubset {
	groups := map[string]*corev1.EndpointSubset{}
	var keys []string
	for port, addrs := range byPort {
		slices.SortFunc(addrs, func(a, b address) int {
			return cmp.Or(strings.Compare(a.IP, b.IP), cmp.Compare(a.TargetRef.UID, b.TargetRef.UID))
		})
		var key strings.Builder
		for _, a := range addrs {
			fmt.Fprintf(&key, "%s/%s/%t,", a.IP, a.TargetRef.UID, a.ready)
		}
		s := groups[key.String()]
		if s == nil {
			s = subset(addrs)
			groups[key.String()] = s
			keys = append(keys, key.String())
		}
		if port.Port != 0 {
			s.Ports = append(s.Ports, port)
		}
	}
	slices.Sort(keys)
	out := make([]corev1.EndpointSubset, 0, len(keys))
	for _, k := range keys {
		slices.SortFunc(groups[k].Ports, func(a, b corev1.EndpointPort) int {
			return cmp.Or(strings.Compare(a.Name, b.Name), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Protocol, b.Protocol))
		})
		out = append(out, *groups[k])
	}
	return out
}

func subset(addrs []address) *corev1.EndpointSubset {
	s := &corev1.EndpointSubset{}
	for _, a := range addrs {
		if a.ready {
			s.Addresses = append(s.Addresses, a.EndpointAddress)
		} else {
			s.NotReadyAddresses = append(s.NotReadyAddresses, a.EndpointAddress)
		}
	}
	return s
}

// truncate drops addresses above the capacity, first those that are not ready,
// evenly from all subsets, and reports whether it had to.
func truncate(sets []corev1.EndpointSubset) bool {
	var ready, rest int
	for _, s := range sets {
		ready += len(s.Addresses)
		rest += len(s.NotReadyAddresses)
	}
	if ready+rest <= capacity {
		return false
	}
	if ready > capacity {
		left := capacity
		for i := range sets {
			n := min(int(math.Ceil(float64(len(sets[i].Addresses))/float64(ready)*capacity)), left)
			sets[i].Addresses, sets[i].NotReadyAddresses = sets[i].Addresses[:n], nil
			left -= n
		}
		return true
	}
	room := capacity - ready
	left := room
	for i := range sets {
		n := min(int(math.Ceil(float64(len(sets[i].NotReadyAddresses))/float64(rest)*float64(room))), left)
		sets[i].NotReadyAddresses = sets[i].NotReadyAddresses[:n]
		left -= n
	}
	return true
}
