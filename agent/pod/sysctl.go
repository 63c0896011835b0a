package pod

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/node/util/sysctl"
)

// safeSysctls are those that affect only the pod itself.
var safeSysctls = map[string]bool{
	"kernel.shm_rmid_forced":              true,
	"net.ipv4.ip_local_port_range":        true,
	"net.ipv4.ip_local_reserved_ports":    true,
	"net.ipv4.ip_unprivileged_port_start": true,
	"net.ipv4.ping_group_range":           true,
	"net.ipv4.tcp_fin_timeout":            true,
	"net.ipv4.tcp_keepalive_intvl":        true,
	"net.ipv4.tcp_keepalive_probes":       true,
	"net.ipv4.tcp_keepalive_time":         true,
	"net.ipv4.tcp_notsent_lowat":          true,
	"net.ipv4.tcp_rmem":                   true,
	"net.ipv4.tcp_slow_start_after_idle":  true,
	"net.ipv4.tcp_syncookies":             true,
	"net.ipv4.tcp_wmem":                   true,
}

// refuseSysctls returns why the pod may not set one of its sysctls: it is neither
// safe nor among allowed (names, or prefixes ending in *), or belongs to a namespace that the pod
// shares with the node.
func refuseSysctls(pod *corev1.Pod, allowed []string) error {
	if pod.Spec.SecurityContext == nil {
		return nil
	}
	for _, s := range pod.Spec.SecurityContext.Sysctls {
		name := sysctl.NormalizeName(s.Name)
		if !safeSysctls[name] && !matches(allowed, name) {
			return fmt.Errorf("%q not allowlisted", name)
		}
		ns, _, _ := sysctl.GetNamespace(name)
		if ns == sysctl.NetNamespace && pod.Spec.HostNetwork || ns == sysctl.IPCNamespace && pod.Spec.HostIPC ||
			ns == sysctl.UserNamespace && (pod.Spec.HostUsers == nil || *pod.Spec.HostUsers) {
			return fmt.Errorf("%q not allowed with host %s enabled", name, ns)
		}
	}
	return nil
}

func matches(patterns []string, name string) bool {
	for _, p := range patterns {
		if prefix, ok := strings.CutSuffix(p, "*"); ok && strings.HasPrefix(name, prefix) || p == name {
			return true
		}
	}
	return false
}
