package agent

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"

	"skiff/agent/cgroup"
	fakert "skiff/runtime/cri/fake"
	"skiff/version"
)

// waitFor watches an object until it is as wanted.
func waitFor[T any](t *testing.T, ctx context.Context, what string, start func() (watch.Interface, error), get func() (T, error), ok func(T) bool) T {
	t.Helper()
	w, err := start()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	obj, err := get()
	if err == nil && ok(obj) {
		return obj
	}
	for {
		select {
		case ev := <-w.ResultChan():
			if obj, is := ev.Object.(T); is && ok(obj) {
				return obj
			}
		case <-ctx.Done():
			t.Fatalf("%s: %v; last %+v", what, ctx.Err(), obj)
		}
	}
}

func selfSigned(t *testing.T) (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kube-apiserver", Organization: []string{"system:masters"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// TestNode runs a whole agent on the fake runtime: from nothing to a Ready node,
// a pod from its object to Running, and the node's API with its streams.
func TestNode(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	client := fake.NewClientset()
	rt := fakert.New(fakert.Options{Images: []string{"busybox"}})
	defer rt.Close()
	cert, pool := selfSigned(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	cgroups := t.TempDir() // no hierarchy is mounted there
	a, err := New(Config{
		NodeName: "n1", NodeIPs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, DataDir: t.TempDir(), BindAddress: "127.0.0.1", Port: port,
		Labels: map[string]string{"zone": "a"}, Cgroup: cgroup.Config{Root: cgroups},
	}, Deps{
		Client: client, Runtime: rt, Images: rt, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &cert, nil },
		ClientCAs:   func() *x509.CertPool { return pool },
		Authorizer:  allowMasters{},
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	runCtx, stop := context.WithCancel(ctx)
	go func() { done <- a.Run(runCtx) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	node := waitFor(t, ctx, "node Ready", func() (watch.Interface, error) { return client.CoreV1().Nodes().Watch(ctx, metav1.ListOptions{}) },
		func() (*corev1.Node, error) { return client.CoreV1().Nodes().Get(ctx, "n1", metav1.GetOptions{}) }, ready)
	if node.Labels["zone"] != "a" || node.Labels[corev1.LabelHostname] != "n1" || node.Status.NodeInfo.KubeletVersion != version.Kubernetes ||
		node.Status.Capacity.Pods().Value() != DefaultMaxPods || node.Status.Addresses[0].Address != "127.0.0.1" || node.Status.NodeInfo.ContainerRuntimeVersion != "fake://1.0.0" {
		t.Errorf("node is not described well: %+v", node)
	}
	waitFor(t, ctx, "lease", func() (watch.Interface, error) {
		return client.CoordinationV1().Leases(corev1.NamespaceNodeLease).Watch(ctx, metav1.ListOptions{})
	}, func() (any, error) {
		return client.CoordinationV1().Leases(corev1.NamespaceNodeLease).Get(ctx, "n1", metav1.GetOptions{})
	}, func(any) bool { return true })

	grace := int64(1)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default", UID: "uid-1"}, Spec: corev1.PodSpec{
		NodeName: "n1", RestartPolicy: corev1.RestartPolicyAlways, DNSPolicy: corev1.DNSClusterFirst, TerminationGracePeriodSeconds: &grace,
		Containers: []corev1.Container{{Name: "main", Image: "busybox", Command: []string{"sh", "-c", "echo hello; pause"}}},
	}}
	if _, err := client.CoreV1().Pods("default").Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	pods := client.CoreV1().Pods("default")
	waitFor(t, ctx, "pod Running", func() (watch.Interface, error) {
		return pods.Watch(ctx, metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", "web").String()})
	}, func() (*corev1.Pod, error) { return pods.Get(ctx, "web", metav1.GetOptions{}) }, func(p *corev1.Pod) bool {
		return p.Status.Phase == corev1.PodRunning && p.Status.ContainerStatuses[0].Ready
	})
	testAPI(t, ctx, "https://127.0.0.1:"+strconv.Itoa(port), cert)
}

func ready(n *corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func testAPI(t *testing.T, ctx context.Context, base string, cert tls.Certificate) {
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{cert}}}}
	get := func(path string) (int, string) {
		t.Helper()
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, base+path, nil)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	for _, c := range []struct{ path, want string }{
		{"/healthz", "ok"},
		{"/pods", `"name":"web"`},
		{"/containerLogs/default/web/main", "hello\n"},
		{"/stats/summary", `"nodeName":"n1"`},
		{"/stats/summary", `"name":"main"`},
		{"/metrics", "go_goroutines"},
		{"/metrics", `kubelet_node_name{node="n1"} 1`},
		{"/metrics", "kubelet_running_pods 1\n"},
		{"/metrics", `kubelet_running_containers{container_state="running"} 1`},
		{"/metrics", "kubelet_pod_start_duration_seconds_count 1\n"},
		{"/metrics", `kubelet_runtime_operations_total{operation_type="run_podsandbox"} 1`},
		{"/metrics", "kubernetes_build_info{"},
		{"/metrics/resource", `container_cpu_usage_seconds_total{container="main",namespace="default",pod="web"}`},
	} {
		if code, body := get(c.path); code != http.StatusOK || !strings.Contains(body, c.want) {
			t.Errorf("GET %s = %d %.300s, want %q in it", c.path, code, body, c.want)
		}
	}
	if code, body := get("/containerLogs/default/nope/main"); code != http.StatusNotFound {
		t.Errorf("log of a missing pod = %d %s, want 404", code, body)
	}
	anonymous := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	if resp, err := anonymous.Get(base + "/pods"); err != nil || resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("GET /pods without a certificate = %v, %v, want 401", resp, err)
	}
	key, err := x509.MarshalECPrivateKey(cert.PrivateKey.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	cfg := &rest.Config{Host: base, TLSClientConfig: rest.TLSClientConfig{Insecure: true, CertData: pemOf("CERTIFICATE", cert.Certificate[0]), KeyData: pemOf("EC PRIVATE KEY", key)}}
	testStreams(t, ctx, cfg, base)
}

func testStreams(t *testing.T, ctx context.Context, cfg *rest.Config, base string) {
	address := mustURL(t, base+"/exec/default/web/main?command=sh&command=-c&command="+"echo+out%3Becho+err+%3E%262%3Bexit+3&output=1&error=1")
	spdy, err := remotecommand.NewSPDYExecutor(cfg, "POST", address)
	if err != nil {
		t.Fatal(err)
	}
	ws, err := remotecommand.NewWebSocketExecutor(cfg, "GET", address.String())
	if err != nil {
		t.Fatal(err)
	}
	for name, exec := range map[string]remotecommand.Executor{"SPDY": spdy, "WebSocket": ws} {
		var out, errOut strings.Builder
		err := exec.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: &out, Stderr: &errOut})
		if out.String() != "out\n" || errOut.String() != "err\n" || err == nil || !strings.Contains(err.Error(), "exit code 3") {
			t.Errorf("exec by %s: stdout %q, stderr %q, error %v", name, &out, &errOut, err)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	ips := []netip.Addr{netip.MustParseAddr("192.0.2.1")}
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{}, "no node name"},
		{Config{NodeName: "n"}, "data directory"},
		{Config{NodeName: "n", DataDir: "relative"}, "data directory"},
		{Config{NodeName: "n", DataDir: "/x"}, "no IP address"},
		{Config{NodeName: "n", DataDir: filepath.Join(t.TempDir(), "d"), NodeIPs: ips}, "a client, a runtime and images are required"},
	} {
		if _, err := New(c.cfg, Deps{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("New(%+v) = %v, want %q", c.cfg, err, c.want)
		}
	}
}
