package container

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/node/util/sysctl"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Sandbox returns the configuration of a pod's sandbox, on a runtime handler
// that can do what features says.
func (n *Node) Sandbox(pod *corev1.Pod, attempt uint32, features Features) (*runtimeapi.PodSandboxConfig, error) {
	dns, err := n.dns(pod)
	if err != nil {
		return nil, err
	}
	users, err := n.userNamespace(pod, features)
	if err != nil {
		return nil, err
	}
	cfg := &runtimeapi.PodSandboxConfig{
		Metadata:     &runtimeapi.PodSandboxMetadata{Name: pod.Name, Namespace: pod.Namespace, Uid: string(pod.UID), Attempt: attempt},
		LogDirectory: n.PodLogDir(pod),
		DnsConfig:    dns,
		Labels:       podLabels(pod),
		Annotations:  maps.Clone(pod.Annotations),
		PortMappings: portMappings(pod),
		Linux:        n.sandboxLinux(pod),
	}
	cfg.Linux.SecurityContext.NamespaceOptions.UsernsOptions = users
	if !HostNetwork(pod) {
		host, domain, err := n.Hostname(pod)
		if err != nil {
			return nil, err
		}
		cfg.Hostname = host
		if isTrue(pod.Spec.SetHostnameAsFQDN) && domain != "" {
			cfg.Hostname = truncate(host + "." + domain)
		}
	}
	return cfg, nil
}

func (n *Node) sandboxLinux(pod *corev1.Pod) *runtimeapi.LinuxPodSandboxConfig {
	ns := namespaces(pod)
	l := &runtimeapi.LinuxPodSandboxConfig{
		Sysctls: map[string]string{},
		SecurityContext: &runtimeapi.LinuxSandboxSecurityContext{
			NamespaceOptions: ns,
			Privileged:       anyPrivileged(pod),
			Seccomp:          sandboxSeccomp(ns),
		},
	}
	if n.Cgroups != nil {
		l.CgroupParent = n.Cgroups.PodPath(pod.UID, QOS(pod))
	}
	if sc := pod.Spec.SecurityContext; sc != nil {
		for _, s := range sc.Sysctls {
			l.Sysctls[sysctl.NormalizeName(s.Name)] = s.Value
		}
		l.SecurityContext.RunAsUser = int64Value(sc.RunAsUser)
		l.SecurityContext.RunAsGroup = int64Value(sc.RunAsGroup)
		l.SecurityContext.SelinuxOptions = selinux(sc.SELinuxOptions)
	}
	l.SecurityContext.SupplementalGroups, l.SecurityContext.SupplementalGroupsPolicy = groups(pod)
	return l
}

// sandboxSeccomp is the profile of the process that holds the sandbox. It only
// sleeps; a filter keeps those at bay who make it do something else, for which
// they must see it: in a process namespace of theirs. Without that it is left out,
// since to compile it takes an eighth of the processor time that a pod's start
// costs.
func sandboxSeccomp(ns *runtimeapi.NamespaceOption) *runtimeapi.SecurityProfile {
	profile := runtimeapi.SecurityProfile_RuntimeDefault
	if ns.Pid == runtimeapi.NamespaceMode_CONTAINER {
		profile = runtimeapi.SecurityProfile_Unconfined
	}
	return &runtimeapi.SecurityProfile{ProfileType: profile}
}

func anyPrivileged(pod *corev1.Pod) bool {
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			if sc := list[i].SecurityContext; sc != nil && isTrue(sc.Privileged) {
				return true
			}
		}
	}
	return false
}

// portMappings are all containers' ports; those with a host port are the ones
// that the network acts on.
func portMappings(pod *corev1.Pod) []*runtimeapi.PortMapping {
	if HostNetwork(pod) {
		return nil
	}
	var out []*runtimeapi.PortMapping
	add := func(containers []corev1.Container, sidecarsOnly bool) {
		for i := range containers {
			if sidecarsOnly && !IsSidecar(&containers[i]) {
				continue
			}
			for _, p := range containers[i].Ports {
				out = append(out, &runtimeapi.PortMapping{Protocol: protocol(p.Protocol), ContainerPort: p.ContainerPort, HostPort: p.HostPort, HostIp: p.HostIP})
			}
		}
	}
	add(pod.Spec.InitContainers, true)
	add(pod.Spec.Containers, false)
	return out
}

func protocol(p corev1.Protocol) runtimeapi.Protocol {
	switch p {
	case corev1.ProtocolUDP:
		return runtimeapi.Protocol_UDP
	case corev1.ProtocolSCTP:
		return runtimeapi.Protocol_SCTP
	}
	return runtimeapi.Protocol_TCP
}
