package container

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"sigs.k8s.io/yaml"
)

type source struct{}

func (source) ConfigMap(_ context.Context, _, name string) (*corev1.ConfigMap, error) {
	if name == "cm" {
		return &corev1.ConfigMap{Data: map[string]string{"A": "from cm", "bad=name": "x", "B": "cm b"}}, nil
	}
	return nil, apierrors.NewNotFound(corev1.Resource("configmap"), name)
}

func (source) Secret(_ context.Context, _, name string) (*corev1.Secret, error) {
	if name == "s" {
		return &corev1.Secret{Data: map[string][]byte{"P": []byte("pw")}}, nil
	}
	return nil, apierrors.NewNotFound(corev1.Resource("secret"), name)
}

func (source) Track(*corev1.Pod)            {}
func (source) Untrack(types.UID)            {}
func (source) OnChange(func(p []types.UID)) {}
func (source) Close()                       {}

func testNode(t *testing.T) *Node {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "resolv.conf"), []byte("nameserver 192.0.2.53\nsearch lan. .\noptions timeout:1 ndots:2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "hosts"), []byte("127.0.0.1 localhost\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	services := map[string][]*corev1.Service{
		"default": {{ObjectMeta: metav1.ObjectMeta{Name: "kubernetes"}, Spec: corev1.ServiceSpec{ClusterIP: "10.43.0.1", Ports: []corev1.ServicePort{{Name: "https", Port: 443}}}}},
		"ns": {
			{ObjectMeta: metav1.ObjectMeta{Name: "my-db"}, Spec: corev1.ServiceSpec{ClusterIP: "10.43.0.9", Ports: []corev1.ServicePort{{Port: 5432, Protocol: corev1.ProtocolTCP}}}},
			{ObjectMeta: metav1.ObjectMeta{Name: "headless"}, Spec: corev1.ServiceSpec{ClusterIP: "None", Ports: []corev1.ServicePort{{Port: 1}}}},
		},
	}
	if err := os.MkdirAll(filepath.Join(dir, "pods/u1"), 0o755); err != nil {
		t.Fatal(err)
	}
	return &Node{
		Name: "n1", IPs: func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("192.0.2.7")} }, ClusterDNS: []netip.Addr{netip.MustParseAddr("10.43.0.10")}, ClusterDomain: "cluster.local",
		ResolvConf: filepath.Join(dir, "resolv.conf"), HostsFile: filepath.Join(dir, "hosts"), LogDir: filepath.Join(dir, "logs"), PodsDir: filepath.Join(dir, "pods"),
		MemoryCapacity: 1 << 30, EnforceCPULimits: true, Objects: source{}, Log: slog.New(slog.DiscardHandler),
		Allocatable: func() corev1.ResourceList { return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2")} },
		Services:    func(ns string) ([]*corev1.Service, error) { return services[ns], nil },
		Warn:        func(_ *corev1.Pod, reason, message string) { t.Logf("%s: %s", reason, message) },
	}
}

type noVolumes struct{}

func (noVolumes) Volume(*corev1.Pod, string) (Volume, error) { return Volume{Path: "/vol"}, nil }
func (noVolumes) SubPath(_ *corev1.Pod, v Volume, _, _ string, _ int, sub string) (string, error) {
	return v.Path + "/" + sub, nil
}

func configure(t *testing.T, n *Node, spec string, image *runtimeapi.Image) (*runtimeapi.ContainerConfig, error) {
	t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", UID: "u1", Labels: map[string]string{"app": "web"}}}
	if err := yaml.UnmarshalStrict([]byte(spec), &pod.Spec); err != nil {
		t.Fatal(err)
	}
	if image == nil {
		image = &runtimeapi.Image{Id: "sha256:1"}
	}
	return n.Container(t.Context(), Request{Pod: pod, Container: &pod.Spec.Containers[0], PodIPs: []string{"10.42.0.5"}, Image: image, Volumes: noVolumes{}, Restarts: 2})
}

func TestEnvironment(t *testing.T) {
	cfg, err := configure(t, testNode(t), `
containers:
- name: main
  command: [run, "$(A)", "$$(A)", "$(NOPE)"]
  args: ["--ip=$(IP)"]
  envFrom: [{configMapRef: {name: cm}}, {prefix: S_, secretRef: {name: s}}, {configMapRef: {name: none, optional: true}}]
  env:
  - {name: B, value: "own and $(A) and $(MY_DB_SERVICE_HOST)"}
  - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
  - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
  - {name: APP, valueFrom: {fieldRef: {fieldPath: "metadata.labels['app']"}}}
  - {name: CPU, valueFrom: {resourceFieldRef: {resource: limits.cpu}}}
  - {name: MEM, valueFrom: {resourceFieldRef: {resource: requests.memory, divisor: 1Mi}}}
  - {name: PW, valueFrom: {secretKeyRef: {name: s, key: P}}}
  - {name: MAYBE, valueFrom: {configMapKeyRef: {name: cm, key: none, optional: true}}}
  resources: {requests: {memory: 64Mi}}
`, nil)
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	for _, kv := range cfg.Envs {
		if _, twice := env[kv.Key]; twice {
			t.Errorf("%s is set twice", kv.Key)
		}
		env[kv.Key] = string(kv.Value)
	}
	for name, want := range map[string]string{
		"A": "from cm", "B": "own and from cm and 10.43.0.9", "S_P": "pw", "IP": "10.42.0.5", "NODE": "n1", "APP": "web", "CPU": "2", "MEM": "64", "PW": "pw",
		"KUBERNETES_SERVICE_HOST": "10.43.0.1", "KUBERNETES_SERVICE_PORT_HTTPS": "443", "KUBERNETES_PORT_443_TCP": "tcp://10.43.0.1:443",
		"MY_DB_SERVICE_PORT": "5432", "MY_DB_PORT_5432_TCP_ADDR": "10.43.0.9",
	} {
		if env[name] != want {
			t.Errorf("%s = %q, want %q", name, env[name], want)
		}
	}
	for _, name := range []string{"MAYBE", "bad=name", "HEADLESS_SERVICE_HOST"} {
		if v, ok := env[name]; ok {
			t.Errorf("%s = %q should not be set", name, v)
		}
	}
	if got := strings.Join(append(cfg.Command, cfg.Args...), " "); got != "run from cm $(A) $(NOPE) --ip=10.42.0.5" {
		t.Errorf("command line %q", got)
	}
	if cfg.Annotations[AnnotationRestartCount] != "2" || cfg.LogPath != "main/2.log" || cfg.Metadata.Attempt != 2 || cfg.Labels[LabelPodUID] != "u1" {
		t.Errorf("identity: %v", cfg)
	}
}

func TestConfigErrors(t *testing.T) {
	n := testNode(t)
	root := int64(0)
	for _, c := range []struct {
		spec, want string
		image      *runtimeapi.Image
	}{
		{`{containers: [{name: main, env: [{name: X, valueFrom: {configMapKeyRef: {name: cm, key: none}}}]}]}`, "couldn't find key none in ConfigMap ns/cm", nil},
		{`{containers: [{name: main, env: [{name: X, valueFrom: {secretKeyRef: {name: none, key: k}}}]}]}`, `secret "none" not found`, nil},
		{`{containers: [{name: main, securityContext: {runAsNonRoot: true, runAsUser: 0}}]}`, "container's runAsUser breaks non-root policy", nil},
		{`{securityContext: {runAsNonRoot: true}, containers: [{name: main}]}`, "container has runAsNonRoot and image will run as root", &runtimeapi.Image{Uid: &runtimeapi.Int64Value{Value: root}}},
		{`{securityContext: {runAsNonRoot: true}, containers: [{name: main}]}`, "container has runAsNonRoot and image will run as root", &runtimeapi.Image{Id: "sha256:names-nobody"}},
		{`{securityContext: {runAsNonRoot: true}, containers: [{name: main}]}`, "image has non-numeric user (app), cannot verify user is non-root", &runtimeapi.Image{Username: "app"}},
		{`{containers: [{name: main, volumeMounts: [{name: v, mountPath: /v, subPathExpr: "$(NOPE)"}]}]}`, `missing value for "NOPE"`, nil},
	} {
		if _, err := configure(t, n, c.spec, c.image); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.spec, err, c.want)
		}
	}
}

func TestSecurityAndResources(t *testing.T) {
	cfg, err := configure(t, testNode(t), `
hostPID: true
securityContext: {runAsUser: 1000, runAsGroup: 1001, fsGroup: 2000, supplementalGroups: [3000], seccompProfile: {type: RuntimeDefault}}
containers:
- name: main
  securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {add: [NET_ADMIN], drop: [ALL]}}
  resources: {requests: {cpu: 250m, memory: 256Mi}, limits: {cpu: 500m, memory: 512Mi}}
  volumeMounts: [{name: v, mountPath: data, readOnly: true, subPath: sub, mountPropagation: HostToContainer}]
`, nil)
	if err != nil {
		t.Fatal(err)
	}
	sc, res := cfg.Linux.SecurityContext, cfg.Linux.Resources
	if sc.RunAsUser.GetValue() != 1000 || sc.RunAsGroup.GetValue() != 1001 || !slices.Equal(sc.SupplementalGroups, []int64{2000, 3000}) || !sc.NoNewPrivs || !sc.ReadonlyRootfs ||
		sc.NamespaceOptions.Pid != runtimeapi.NamespaceMode_NODE || sc.Seccomp.ProfileType != runtimeapi.SecurityProfile_RuntimeDefault || sc.Capabilities.AddCapabilities[0] != "NET_ADMIN" || len(sc.MaskedPaths) == 0 {
		t.Errorf("security context %v", sc)
	}
	if res.CpuShares != 256 || res.CpuQuota != 50000 || res.CpuPeriod != 100000 || res.MemoryLimitInBytes != 512<<20 || res.OomScoreAdj != 750 {
		t.Errorf("resources %v", res)
	}
	if m := cfg.Mounts[0]; m.ContainerPath != "/data" || m.HostPath != "/vol/sub" || !m.Readonly || m.Propagation != runtimeapi.MountPropagation_PROPAGATION_HOST_TO_CONTAINER {
		t.Errorf("mount %v", m)
	}
}

func TestDNS(t *testing.T) {
	n := testNode(t)
	for _, c := range []struct{ spec, servers, searches, options string }{
		{`{dnsPolicy: ClusterFirst}`, "10.43.0.10", "ns.svc.cluster.local svc.cluster.local cluster.local lan", "ndots:5"},
		{`{dnsPolicy: ClusterFirst, hostNetwork: true}`, "192.0.2.53", "lan", "timeout:1 ndots:2"},
		{`{dnsPolicy: ClusterFirstWithHostNet, hostNetwork: true}`, "10.43.0.10", "ns.svc.cluster.local svc.cluster.local cluster.local lan", "ndots:5"},
		{`{dnsPolicy: Default}`, "192.0.2.53", "lan", "timeout:1 ndots:2"},
		{`{dnsPolicy: None, dnsConfig: {nameservers: [192.0.2.1], searches: [x], options: [{name: ndots, value: "3"}, {name: edns0}]}}`, "192.0.2.1", "x", "ndots:3 edns0"},
		{`{dnsPolicy: ClusterFirst, dnsConfig: {nameservers: [192.0.2.1, 192.0.2.2, 192.0.2.3], options: [{name: ndots, value: "1"}]}}`, "10.43.0.10 192.0.2.1 192.0.2.2", "ns.svc.cluster.local svc.cluster.local cluster.local lan", "ndots:1"},
	} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns"}}
		if err := yaml.UnmarshalStrict([]byte(c.spec), &pod.Spec); err != nil {
			t.Fatal(err)
		}
		got, err := n.dns(pod)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Join(got.Servers, " ") != c.servers || strings.Join(got.Searches, " ") != c.searches || strings.Join(got.Options, " ") != c.options {
			t.Errorf("%s: %v", c.spec, got)
		}
	}
}

func TestHostsAndHostname(t *testing.T) {
	n := testNode(t)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", UID: "u1"}, Spec: corev1.PodSpec{
		Hostname: "web", Subdomain: "sub", HostAliases: []corev1.HostAlias{{IP: "192.0.2.9", Hostnames: []string{"a", "b"}}},
	}}
	data, err := n.hostsFile(pod, []string{"10.42.0.5"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"# Kubernetes-managed hosts file.\n", "10.42.0.5\tweb.sub.ns.svc.cluster.local\tweb\n", "\n# Entries added by HostAliases.\n192.0.2.9\ta\tb\n"} {
		if !strings.Contains(string(data), want) {
			t.Errorf("hosts file lacks %q:\n%s", want, data)
		}
	}
	pod.Spec.HostNetwork = true
	if data, err = n.hostsFile(pod, nil); err != nil || !strings.HasPrefix(string(data), "# Kubernetes-managed hosts file (host network).\n127.0.0.1 localhost\n") {
		t.Errorf("hosts file on the host network: %v\n%s", err, data)
	}
	long := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: strings.Repeat("a", 62) + "-b"}}
	if host, _, err := n.Hostname(long); err != nil || host != strings.Repeat("a", 62) {
		t.Errorf("host name of a long name: %q, %v", host, err)
	}
}

func TestSandbox(t *testing.T) {
	n := testNode(t)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", UID: "u1", Labels: map[string]string{"app": "web"}, Annotations: map[string]string{"a": "b"}}, Spec: corev1.PodSpec{
		DNSPolicy: corev1.DNSClusterFirst, SecurityContext: &corev1.PodSecurityContext{Sysctls: []corev1.Sysctl{{Name: "net/ipv4/ip_unprivileged_port_start", Value: "0"}}},
		Containers: []corev1.Container{{Name: "main", Ports: []corev1.ContainerPort{{ContainerPort: 53, HostPort: 5353, Protocol: corev1.ProtocolUDP}}}},
	}}
	cfg, err := n.Sandbox(pod, 3, Features{})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Metadata.Attempt != 3 || cfg.Labels["app"] != "web" || cfg.Labels[LabelPodName] != "p" || cfg.Annotations["a"] != "b" || cfg.Hostname != "p" ||
		cfg.LogDirectory != filepath.Join(n.LogDir, "ns_p_u1") || cfg.Linux.Sysctls["net.ipv4.ip_unprivileged_port_start"] != "0" {
		t.Errorf("sandbox %v", cfg)
	}
	if p := cfg.PortMappings[0]; p.HostPort != 5353 || p.ContainerPort != 53 || p.Protocol != runtimeapi.Protocol_UDP {
		t.Errorf("port %v", p)
	}
	pod.Spec.HostNetwork = true
	if cfg, err = n.Sandbox(pod, 0, Features{}); err != nil || len(cfg.PortMappings) != 0 || cfg.Hostname != "" || cfg.Linux.SecurityContext.NamespaceOptions.Network != runtimeapi.NamespaceMode_NODE {
		t.Errorf("sandbox on the host network: %v, %v", cfg, err)
	}
}

func TestSandboxSeccomp(t *testing.T) {
	for _, c := range []struct {
		spec string
		want runtimeapi.SecurityProfile_ProfileType
	}{
		{`{containers: [{name: a}]}`, runtimeapi.SecurityProfile_Unconfined},
		{`{shareProcessNamespace: true, containers: [{name: a}]}`, runtimeapi.SecurityProfile_RuntimeDefault},
		{`{hostPID: true, containers: [{name: a}]}`, runtimeapi.SecurityProfile_RuntimeDefault},
	} {
		pod := &corev1.Pod{}
		if err := yaml.UnmarshalStrict([]byte(c.spec), &pod.Spec); err != nil {
			t.Fatal(err)
		}
		cfg, err := testNode(t).Sandbox(pod, 0, Features{})
		if err != nil {
			t.Fatal(err)
		}
		if got := cfg.Linux.SecurityContext.Seccomp.ProfileType; got != c.want {
			t.Errorf("%s: %s, want %s", c.spec, got, c.want)
		}
	}
}

func TestQOS(t *testing.T) {
	for _, c := range []struct {
		spec string
		want corev1.PodQOSClass
		oom  int64
	}{
		{`{containers: [{name: a}]}`, corev1.PodQOSBestEffort, 1000},
		{`{containers: [{name: a, resources: {requests: {cpu: 1m}}}]}`, corev1.PodQOSBurstable, 999},
		{`{containers: [{name: a, resources: {limits: {cpu: "1", memory: 1Gi}, requests: {cpu: "1", memory: 1Gi}}}]}`, corev1.PodQOSGuaranteed, -997},
		{`{containers: [{name: a, resources: {limits: {cpu: "1", memory: 1Gi}}}, {name: b}]}`, corev1.PodQOSBurstable, 999},
		{`{priority: 2000001000, containers: [{name: a}]}`, corev1.PodQOSBestEffort, -997},
	} {
		pod := &corev1.Pod{}
		if err := yaml.UnmarshalStrict([]byte(c.spec), &pod.Spec); err != nil {
			t.Fatal(err)
		}
		if got := QOS(pod); got != c.want {
			t.Errorf("%s: %s, want %s", c.spec, got, c.want)
		}
		if got := oomScore(pod, &pod.Spec.Containers[0], 1<<30); got != c.oom {
			t.Errorf("%s: oom score %d, want %d", c.spec, got, c.oom)
		}
	}
}
