// Package clusterinfo is what a node must know of its cluster before it can run a
// pod. A server keeps it in the ConfigMap kube-system/skiff-cluster; agents read
// it there, follow it, and keep a copy for starts without a server.
//
//	cm, err := client.CoreV1().ConfigMaps(clusterinfo.Namespace).Get(ctx, clusterinfo.Name, metav1.GetOptions{})
//	info, err := clusterinfo.FromConfigMap(cm)
package clusterinfo

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Namespace and Name are those of the ConfigMap. DNSName is its neighbour's, by which
// users tell all nodes' DNS more; package proxy/dns says what it holds.
const (
	Namespace = metav1.NamespaceSystem
	Name      = "skiff-cluster"
	DNSName   = "skiff-dns"
)

// Info is what all nodes of a cluster have in common.
type Info struct {
	// ClusterCIDRs are the pods' address ranges, ServiceCIDRs those of services.
	ClusterCIDRs, ServiceCIDRs []netip.Prefix
	// ClusterDNS are the service addresses that the nodes answer DNS at; none if
	// the cluster's DNS is another program.
	ClusterDNS []netip.Addr
	// ClusterDomain is the domain of the cluster's names.
	ClusterDomain string
	// Overlay is how pods of different nodes reach each other.
	Overlay string
	// NodeLease is how long a node counts as alive after it said so; nodes say it
	// four times as often. 0 is for the node to choose.
	NodeLease time.Duration
	// Servers are where API servers are reached, https://HOST:PORT.
	Servers []string
	// ClientCA is the bundle (PEM) that a node verifies its API's callers with.
	ClientCA []byte
}

// The keys of the ConfigMap's data. Lists are separated by commas.
const (
	keyClusterCIDRs  = "cluster-cidr"
	keyServiceCIDRs  = "service-cidr"
	keyClusterDNS    = "cluster-dns"
	keyClusterDomain = "cluster-domain"
	keyOverlay       = "overlay"
	keyNodeLease     = "node-lease"
	keyServers       = "servers"
	keyClientCA      = "client-ca"
)

// ConfigMap returns i as the object that carries it.
func (i Info) ConfigMap() *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: Name},
		Data: map[string]string{
			keyClusterCIDRs:  join(i.ClusterCIDRs),
			keyServiceCIDRs:  join(i.ServiceCIDRs),
			keyClusterDNS:    join(i.ClusterDNS),
			keyClusterDomain: i.ClusterDomain,
			keyOverlay:       i.Overlay,
			keyNodeLease:     i.NodeLease.String(),
			keyServers:       strings.Join(i.Servers, ","),
			keyClientCA:      string(i.ClientCA),
		},
	}
}

// FromConfigMap reads what ConfigMap wrote. The error names all keys that are
// missing or wrong.
func FromConfigMap(cm *corev1.ConfigMap) (Info, error) {
	r := reader{data: cm.Data}
	i := Info{
		ClusterCIDRs: list(&r, keyClusterCIDRs, netip.ParsePrefix),
		ServiceCIDRs: list(&r, keyServiceCIDRs, netip.ParsePrefix),
		ClusterDNS:   list(&r, keyClusterDNS, netip.ParseAddr),
		// Without one, names of services are looked for in the root's zone.
		ClusterDomain: r.required(keyClusterDomain),
		Overlay:       cm.Data[keyOverlay],
		NodeLease:     r.duration(keyNodeLease),
		Servers:       list(&r, keyServers, checkServer),
		ClientCA:      []byte(r.required(keyClientCA)),
	}
	if len(i.Servers) == 0 {
		r.bad(keyServers, errors.New("is missing"))
	}
	if len(i.ClientCA) > 0 {
		if err := checkBundle(i.ClientCA); err != nil {
			r.bad(keyClientCA, err)
		}
	}
	if err := errors.Join(r.errs...); err != nil {
		return Info{}, err
	}
	return i, nil
}

// Equal tells whether both say the same.
func (i Info) Equal(other Info) bool {
	a, b := i.ConfigMap().Data, other.ConfigMap().Data
	for k := range a {
		if a[k] != b[k] {
			return false
		}
	}
	return true
}

func join[T fmt.Stringer](values []T) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = v.String()
	}
	return strings.Join(texts, ",")
}

// reader collects what is wrong with a ConfigMap's data.
type reader struct {
	data map[string]string
	errs []error
}

func (r *reader) bad(key string, err error) {
	r.errs = append(r.errs, fmt.Errorf("config map %s/%s: %s: %w", Namespace, Name, key, err))
}

func (r *reader) required(key string) string {
	if r.data[key] == "" {
		r.bad(key, errors.New("is missing"))
	}
	return r.data[key]
}

// duration is 0 for a key that is missing: servers of before have none.
func (r *reader) duration(key string) time.Duration {
	if r.data[key] == "" {
		return 0
	}
	d, err := time.ParseDuration(r.data[key])
	if err != nil || d < 0 {
		r.bad(key, fmt.Errorf("%q is no time like 40s", r.data[key]))
	}
	return d
}

func list[T any](r *reader, key string, parse func(string) (T, error)) (values []T) {
	if r.data[key] == "" {
		return nil
	}
	for text := range strings.SplitSeq(r.data[key], ",") {
		v, err := parse(strings.TrimSpace(text))
		if err != nil {
			r.bad(key, err)
			continue
		}
		values = append(values, v)
	}
	return values
}

func checkServer(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" {
		return "", fmt.Errorf("%q is not an address like https://HOST:6443", s)
	}
	if _, _, err := net.SplitHostPort(u.Host); err != nil {
		return "", fmt.Errorf("%q: %w", s, err)
	}
	return s, nil
}

func checkBundle(bundle []byte) error {
	for n, rest := 0, bundle; ; n++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			if n == 0 {
				return errors.New("holds no certificate")
			}
			return nil
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return err
		}
	}
}
