package agent

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"skiff/agent/cgroup"
	"skiff/version"
)

// DefaultPort is that of the node's API.
const DefaultPort = 10250

// DefaultMaxPods is how many pods a node takes.
const DefaultMaxPods = 110

// defaultLease is upstream's.
const defaultLease = 40 * time.Second

// Config says what this node is. The zero value of every field except NodeName,
// DataDir and NodeIPs is usable.
type Config struct {
	// NodeName is the name of the Node object.
	NodeName string
	// NodeIPs are the node's own addresses, at most one per IP family; the first
	// is the primary one. SetNodeIPs changes them.
	NodeIPs []netip.Addr
	// Labels and Taints are set when the node registers. Labels are also kept up
	// to date afterwards; taints belong to the administrator from then on.
	Labels map[string]string
	Taints []corev1.Taint
	// ProviderID goes into the node's spec; "" leaves it unset.
	ProviderID string

	// ClusterDNS are the addresses of the cluster's DNS servers, ClusterDomain
	// its domain ("cluster.local"). HostResolvConf is the file that pods with DNS policy
	// Default inherit, "" for /etc/resolv.conf.
	ClusterDNS     []netip.Addr
	ClusterDomain  string
	HostResolvConf string

	// DataDir holds everything that the agent keeps: pods/ (volumes),
	// static-pods/ and checkpoints. It must not be on a tmpfs.
	DataDir string
	// LogDir holds the pods' logs; "" for <DataDir>/logs/pods.
	LogDir string
	// StaticPodDir is watched for manifests of static pods; "" for
	// <DataDir>/static-pods.
	StaticPodDir string

	// Cgroup says where pods' cgroups are made.
	Cgroup cgroup.Config
	// EnforceCPULimits can be switched off to run without CFS quotas. Nil means true.
	EnforceCPULimits *bool
	// MaxPods bounds the number of pods; 0 for DefaultMaxPods.
	MaxPods int
	// Reserved is subtracted from the node's capacity to get what pods may use.
	Reserved corev1.ResourceList
	// AllowedUnsafeSysctls are names, or prefixes ending in *, that pods may set
	// besides the safe ones.
	AllowedUnsafeSysctls []string
	// RestrictOOMScoreAdj tells that the process may not lower oom_score_adj
	// below its own; containers then get no lower value than the process has.
	RestrictOOMScoreAdj bool

	// BindAddress and Port are where the node's API listens. BindAddress "" is
	// every address, Port 0 is DefaultPort, and Port -1 switches the API off.
	BindAddress string
	Port        int

	// LogMaxSize and LogMaxFiles bound each container's log: a file is rotated
	// at LogMaxSize bytes (0: 10 MiB), and LogMaxFiles files are kept (0: 5).
	LogMaxSize  int64
	LogMaxFiles int

	// LeaseDuration is how long the node counts as alive after a renewal
	// (0: 40 s); it is renewed at a quarter of that. SetLeaseDuration changes it.
	LeaseDuration time.Duration
	// StatusPeriod is how often the node's status is written although nothing
	// changed (0: 5 min).
	StatusPeriod time.Duration
	// RelistPeriod is how often the runtime is listed although no event came
	// (0: 3 min).
	RelistPeriod time.Duration
	// Version is the kubelet version reported ("" for this build's).
	Version string
}

// withDefaults returns c with every zero field filled in, or what is wrong with it.
func (c Config) withDefaults() (Config, error) {
	switch {
	case c.NodeName == "":
		return c, fmt.Errorf("agent: no node name")
	case c.DataDir == "" || !filepath.IsAbs(c.DataDir):
		return c, fmt.Errorf("agent: data directory %q is not an absolute path", c.DataDir)
	case len(c.NodeIPs) == 0:
		return c, fmt.Errorf("agent: node %s has no IP address", c.NodeName)
	}
	def(&c.ClusterDomain, "cluster.local")
	def(&c.HostResolvConf, "/etc/resolv.conf")
	def(&c.LogDir, filepath.Join(c.DataDir, "logs", "pods"))
	def(&c.StaticPodDir, filepath.Join(c.DataDir, "static-pods"))
	def(&c.MaxPods, DefaultMaxPods)
	def(&c.Port, DefaultPort)
	def(&c.LogMaxSize, 10<<20)
	def(&c.LogMaxFiles, 5)
	def(&c.LeaseDuration, defaultLease)
	def(&c.StatusPeriod, 5*time.Minute)
	def(&c.RelistPeriod, 3*time.Minute)
	def(&c.Version, version.Kubernetes)
	if c.EnforceCPULimits == nil {
		yes := true
		c.EnforceCPULimits = &yes
	}
	if c.Reserved == nil {
		c.Reserved = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("0")}
	}
	return c, nil
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
