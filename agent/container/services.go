package container

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// serviceEnv returns the variables that describe services: the API server's
// always, those of the pod's namespace if the pod wants them.
func (n *Node) serviceEnv(pod *corev1.Pod) (*environment, error) {
	e := &environment{values: map[string]string{}}
	links := pod.Spec.EnableServiceLinks == nil || *pod.Spec.EnableServiceLinks
	chosen := map[string]*corev1.Service{}
	all, err := n.Services(metav1.NamespaceDefault)
	if err != nil {
		return nil, fmt.Errorf("services have not yet been read at least once, cannot construct envvars: %w", err)
	}
	for _, s := range all {
		if s.Name == "kubernetes" && hasAddress(s) {
			chosen[s.Name] = s
		}
	}
	if links {
		if all, err = n.Services(pod.Namespace); err != nil {
			return nil, fmt.Errorf("services have not yet been read at least once, cannot construct envvars: %w", err)
		}
		for _, s := range all {
			// A service of the pod's own namespace goes before the API server's.
			if hasAddress(s) {
				chosen[s.Name] = s
			}
		}
	}
	for _, name := range sortedKeys(chosen) {
		addService(e, chosen[name])
	}
	return e, nil
}

func hasAddress(s *corev1.Service) bool {
	return s.Spec.ClusterIP != "" && s.Spec.ClusterIP != corev1.ClusterIPNone && len(s.Spec.Ports) > 0
}

// addService sets one service's variables, those of Docker links among them.
func addService(e *environment, s *corev1.Service) {
	prefix := strings.ToUpper(strings.ReplaceAll(s.Name, "-", "_"))
	e.set(prefix+"_SERVICE_HOST", s.Spec.ClusterIP)
	e.set(prefix+"_SERVICE_PORT", strconv.Itoa(int(s.Spec.Ports[0].Port)))
	for _, p := range s.Spec.Ports {
		if p.Name != "" {
			e.set(prefix+"_SERVICE_PORT_"+strings.ToUpper(strings.ReplaceAll(p.Name, "-", "_")), strconv.Itoa(int(p.Port)))
		}
	}
	for i, p := range s.Spec.Ports {
		protocol := string(cmp.Or(p.Protocol, corev1.ProtocolTCP))
		port := strconv.Itoa(int(p.Port))
		url := strings.ToLower(protocol) + "://" + net.JoinHostPort(s.Spec.ClusterIP, port)
		if i == 0 {
			e.set(prefix+"_PORT", url)
		}
		one := prefix + "_PORT_" + port + "_" + strings.ToUpper(protocol)
		e.set(one, url)
		e.set(one+"_PROTO", strings.ToLower(protocol))
		e.set(one+"_PORT", port)
		e.set(one+"_ADDR", s.Spec.ClusterIP)
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
