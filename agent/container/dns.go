package container

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// The bounds that resolvers keep.
const (
	maxNameservers     = 3
	maxSearchPaths     = 32
	maxSearchListChars = 2048
)

// dns returns a pod's resolver configuration by its DNS policy.
func (n *Node) dns(pod *corev1.Pod) (*runtimeapi.DNSConfig, error) {
	cfg := &runtimeapi.DNSConfig{}
	policy := pod.Spec.DNSPolicy
	if policy == corev1.DNSClusterFirst && HostNetwork(pod) {
		policy = corev1.DNSDefault
	}
	if policy != corev1.DNSNone {
		host, err := readResolvConf(n.ResolvConf)
		if err != nil {
			return nil, err
		}
		cfg = host
	}
	switch policy {
	case corev1.DNSNone:
	case corev1.DNSDefault:
		if len(cfg.Servers) == 0 {
			// An empty resolv.conf means loopback to resolvers.
			cfg.Servers = []string{"127.0.0.1"}
			if n.IPs()[0].Is6() {
				cfg.Servers = []string{"::1"}
			}
		}
	default:
		if len(n.ClusterDNS) > 0 {
			cfg.Servers = nil
			for _, ip := range n.ClusterDNS {
				cfg.Servers = append(cfg.Servers, ip.String())
			}
			cfg.Searches = unique(append([]string{
				pod.Namespace + ".svc." + n.ClusterDomain, "svc." + n.ClusterDomain, n.ClusterDomain,
			}, cfg.Searches...))
			cfg.Options = []string{"ndots:5"}
		} else {
			n.Warn(pod, "MissingClusterDNS", fmt.Sprintf("pod: %q. kubelet does not have ClusterDNS IP configured and cannot create Pod using %q policy. Falling back to %q policy.", Describe(pod), pod.Spec.DNSPolicy, corev1.DNSDefault))
		}
	}
	if extra := pod.Spec.DNSConfig; extra != nil {
		cfg.Servers = unique(append(cfg.Servers, extra.Nameservers...))
		cfg.Searches = unique(append(cfg.Searches, extra.Searches...))
		for _, o := range extra.Options {
			value := ""
			if o.Value != nil {
				value = *o.Value
			}
			cfg.Options = setOption(cfg.Options, o.Name, value)
		}
	}
	n.boundDNS(pod, cfg)
	return cfg, nil
}

// boundDNS cuts what resolvers would not take, and says so.
func (n *Node) boundDNS(pod *corev1.Pod, cfg *runtimeapi.DNSConfig) {
	if len(cfg.Servers) > maxNameservers {
		cfg.Servers = cfg.Servers[:maxNameservers]
		n.Warn(pod, "DNSConfigForming", "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: "+strings.Join(cfg.Servers, " "))
	}
	kept := slices.DeleteFunc(slices.Clone(cfg.Searches), func(s string) bool { return len(s) > validation.DNS1123SubdomainMaxLength })
	if len(kept) > maxSearchPaths {
		kept = kept[:maxSearchPaths]
	}
	for len(strings.Join(kept, " ")) > maxSearchListChars {
		kept = kept[:len(kept)-1]
	}
	if len(kept) < len(cfg.Searches) {
		cfg.Searches = kept
		n.Warn(pod, "DNSConfigForming", "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: "+strings.Join(kept, " "))
	}
}

// readResolvConf reads a resolv.conf(5) file; a missing one is empty.
func readResolvConf(path string) (*runtimeapi.DNSConfig, error) {
	cfg := &runtimeapi.DNSConfig{}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return cfg, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the node's resolver configuration: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "nameserver":
			cfg.Servers = append(cfg.Servers, words[1])
		case "search":
			// The last line wins.
			cfg.Searches = nil
			for _, s := range words[1:] {
				if s != "." {
					cfg.Searches = append(cfg.Searches, strings.TrimSuffix(s, "."))
				}
			}
		case "options":
			for _, o := range words[1:] {
				name, value, _ := strings.Cut(o, ":")
				cfg.Options = setOption(cfg.Options, name, value)
			}
		}
	}
	return cfg, nil
}

// setOption replaces the option of that name, or appends it.
func setOption(options []string, name, value string) []string {
	option := name
	if value != "" {
		option += ":" + value
	}
	for i, o := range options {
		if have, _, _ := strings.Cut(o, ":"); have == name {
			options[i] = option
			return options
		}
	}
	return append(options, option)
}

func unique(words []string) []string {
	var out []string
	for _, w := range words {
		if !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return out
}
