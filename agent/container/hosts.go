package container

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const hostsPath = "/etc/hosts"

// maxHostname is Linux's bound on a host name, without the final zero byte.
const maxHostname = 63

// Hostname returns a pod's host name and domain.
func (n *Node) Hostname(pod *corev1.Pod) (host, domain string, err error) {
	if override := pod.Spec.HostnameOverride; override != nil {
		if errs := validation.IsDNS1123Subdomain(*override); len(errs) > 0 {
			return "", "", fmt.Errorf("pod HostnameOverride %q is not a valid DNS subdomain: %s", *override, strings.Join(errs, ";"))
		}
		return truncate(*override), "", nil
	}
	host = pod.Name
	if pod.Spec.Hostname != "" {
		if errs := validation.IsDNS1123Label(pod.Spec.Hostname); len(errs) > 0 {
			return "", "", fmt.Errorf("pod Hostname %q is not a valid DNS label: %s", pod.Spec.Hostname, strings.Join(errs, ";"))
		}
		host = pod.Spec.Hostname
	}
	if pod.Spec.Subdomain != "" {
		if errs := validation.IsDNS1123Label(pod.Spec.Subdomain); len(errs) > 0 {
			return "", "", fmt.Errorf("pod Subdomain %q is not a valid DNS label: %s", pod.Spec.Subdomain, strings.Join(errs, ";"))
		}
		domain = fmt.Sprintf("%s.%s.svc.%s", pod.Spec.Subdomain, pod.Namespace, n.ClusterDomain)
	}
	return truncate(host), domain, nil
}

func truncate(host string) string {
	if len(host) > maxHostname {
		host = strings.TrimRight(host[:maxHostname], "-.")
	}
	return host
}

// hostsMount writes the pod's hosts file and returns its mount, or nil if the
// container brings its own.
func (n *Node) hostsMount(pod *corev1.Pod, c *corev1.Container, podIPs []string) (*runtimeapi.Mount, error) {
	if len(podIPs) == 0 && !HostNetwork(pod) {
		return nil, nil
	}
	for _, m := range c.VolumeMounts {
		if m.MountPath == hostsPath {
			return nil, nil
		}
	}
	content, err := n.hostsFile(pod, podIPs)
	if err != nil {
		return nil, err
	}
	name := filepath.Join(n.PodDir(pod.UID), "etc-hosts")
	if old, err := os.ReadFile(name); err != nil || !bytes.Equal(old, content) {
		// Written in place: containers that run have it mounted.
		if err := os.WriteFile(name, content, 0o644); err != nil {
			return nil, fmt.Errorf("write the pod's hosts file: %w", err)
		}
	}
	return &runtimeapi.Mount{ContainerPath: hostsPath, HostPath: name}, nil
}

func (n *Node) hostsFile(pod *corev1.Pod, podIPs []string) ([]byte, error) {
	var b bytes.Buffer
	if HostNetwork(pod) {
		data, err := os.ReadFile(n.HostsFile)
		if err != nil {
			return nil, fmt.Errorf("read the node's hosts file: %w", err)
		}
		b.WriteString("# Kubernetes-managed hosts file (host network).\n")
		b.Write(data)
	} else {
		host, domain, err := n.Hostname(pod)
		if err != nil {
			return nil, err
		}
		b.WriteString("# Kubernetes-managed hosts file.\n" +
			"127.0.0.1\tlocalhost\n" +
			"::1\tlocalhost ip6-localhost ip6-loopback\n" +
			"fe00::0\tip6-localnet\n" +
			"fe00::0\tip6-mcastprefix\n" +
			"fe00::1\tip6-allnodes\n" +
			"fe00::2\tip6-allrouters\n")
		for _, ip := range podIPs {
			if domain != "" {
				fmt.Fprintf(&b, "%s\t%s.%s\t%s\n", ip, host, domain, host)
			} else {
				fmt.Fprintf(&b, "%s\t%s\n", ip, host)
			}
		}
	}
	if len(pod.Spec.HostAliases) > 0 {
		b.WriteString("\n# Entries added by HostAliases.\n")
		for _, alias := range pod.Spec.HostAliases {
			fmt.Fprintf(&b, "%s\t%s\n", alias.IP, strings.Join(alias.Hostnames, "\t"))
		}
	}
	return b.Bytes(), nil
}
