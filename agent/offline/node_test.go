package offline

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"skiff/agent/container"
	"skiff/agent/image"
	"skiff/agent/objects"
	"skiff/agent/pod"
	"skiff/agent/volume"
	"skiff/agent/volume/volumetest"
	fakert "skiff/runtime/cri/fake"
)

// node runs pods on a box.
type node struct {
	*box
	s      *server
	rt     *fakert.Runtime
	m      *pod.Manager
	events *record.FakeRecorder
	halt   func()
}

// boot begins an agent's process.
func (n *node) boot() {
	t := n.t
	n.open()
	n.factory = n.store.Factory(n.s, "n1")
	log := slog.New(slog.NewTextHandler(&n.log, nil))
	source := objects.NewWatched(n.s, n.store, log)
	resolv := filepath.Join(n.dir, "resolv.conf")
	if err := os.WriteFile(resolv, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	self := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}, Status: corev1.NodeStatus{Allocatable: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("9")}}}
	cnode := &container.Node{
		Name: "n1", IPs: func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("192.0.2.7")} }, ClusterDomain: "cluster.local", ResolvConf: resolv, HostsFile: "/etc/hosts",
		LogDir: filepath.Join(n.dir, "logs"), PodsDir: filepath.Join(n.dir, "pods"), MemoryCapacity: 1 << 30,
		Allocatable: func() corev1.ResourceList { return self.Status.Allocatable }, Objects: source,
		Services: func(string) ([]*corev1.Service, error) { return nil, nil }, Warn: func(*corev1.Pod, string, string) {}, Log: log,
	}
	n.m = pod.NewManager(pod.Config{
		Client: n.s, Runtime: n.rt, RuntimeName: "fake", Images: image.New(n.rt, n.events), Node: cnode, Objects: source,
		Volumes: volume.New(volume.Config{
			PodsDir: cnode.PodsDir, Objects: source, Tokens: n.store.Tokens(volume.ClientTokens(n.s)), Claims: n.store.Claims(volume.ClientClaims(n.s)),
			Mounter: &volumetest.Mounter{}, Node: cnode, Log: log,
		}),
		RuntimeClasses: n.store.RuntimeClasses(pod.ClientRuntimeClasses(n.s)), Events: n.events,
		GetNode: func() (*corev1.Node, error) { return self, nil }, RelistPeriod: 3 * time.Minute, Log: log,
	})
	m := n.m
	reg, err := n.factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { m.Update(o.(*corev1.Pod)) },
		UpdateFunc: func(_, o any) { m.Update(o.(*corev1.Pod)) },
		DeleteFunc: func(o any) { m.Remove(o.(*corev1.Pod)) },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.factory.StartWithContext(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.Run(ctx)
	}()
	synctest.Wait()
	if reg.HasSynced() {
		m.Complete()
	}
	n.halt = func() {
		cancel()
		<-done
		source.Close()
		n.factory.Shutdown()
		if err := n.store.Close(); err != nil {
			t.Error(err)
		}
	}
	synctest.Wait()
}

// running are the environments of the running containers, by pod and name.
func (n *node) running() map[string]int {
	n.t.Helper()
	list, err := n.rt.ListContainers(n.t.Context(), &runtimeapi.ListContainersRequest{})
	if err != nil {
		n.t.Fatal(err)
	}
	out := map[string]int{}
	for _, c := range list.Containers {
		if c.State == runtimeapi.ContainerState_CONTAINER_RUNNING {
			out[c.Labels[container.LabelPodName]]++
		}
	}
	return out
}

func (n *node) status(name string) corev1.PodStatus {
	n.t.Helper()
	p, err := n.s.CoreV1().Pods("ns").Get(n.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		n.t.Fatal(err)
	}
	return p.Status
}

func workload(name string, policy corev1.RestartPolicy) *corev1.Pod {
	p := newPod(name)
	p.Status = corev1.PodStatus{}
	p.Spec.RestartPolicy, p.Spec.DNSPolicy = policy, corev1.DNSDefault
	env := func(name string) corev1.EnvFromSource {
		return corev1.EnvFromSource{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: name}}}
	}
	p.Spec.Containers = []corev1.Container{{Name: "main", Image: "busybox", ImagePullPolicy: corev1.PullIfNotPresent, EnvFrom: []corev1.EnvFromSource{env("cm")}}}
	return p
}

// TestBoxRestartsWithoutItsServer: what ran runs again, what had ended stays so,
// and the server learns of both.
func TestBoxRestartsWithoutItsServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &node{box: newBox(t), s: newNeeds(), rt: fakert.New(fakert.Options{Images: []string{"busybox"}}), events: record.NewFakeRecorder(1000)}
		defer n.rt.Close()
		n.s.add(t, workload("web", corev1.RestartPolicyAlways), workload("job", corev1.RestartPolicyOnFailure), workload("unknown", corev1.RestartPolicyAlways))
		if err := n.s.Tracker().Delete(podResource, "ns", "a"); err != nil {
			t.Fatal(err)
		}
		n.boot()
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := n.running(); len(got) != 3 || n.status("web").Phase != corev1.PodRunning {
			t.Fatalf("running: %v, web %+v", got, n.status("web"))
		}

		n.s.fail(errRefused)
		// A job ends, and a crash is answered without the API.
		n.rt.Exit("ns", "job", "main", 0, "Completed")
		n.rt.Exit("ns", "web", "main", 1, "Error")
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if got := n.running(); got["web"] != 1 || got["job"] != 0 {
			t.Errorf("running without a server: %v", got)
		}
		if lines := n.log.with("level="); len(lines) > 30 {
			t.Errorf("%d lines in ten minutes, the last is %s", len(lines), lines[len(lines)-1])
		}

		// The box restarts, and its disk does not know one of the pods.
		n.halt()
		n.open()
		at := slot{bucketPod, "ns/unknown"}
		if err := n.store.file.write([]change{{at: at}}); err != nil {
			t.Fatal(err)
		}
		if err := n.store.Close(); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"web", "job"} {
			n.rt.KillSandbox("ns", name)
		}
		n.boot()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if got := n.running(); got["web"] != 1 || got["job"] != 0 || got["unknown"] != 1 {
			t.Errorf("running after the restart: %v", got)
		}

		// The server is back; one pod was deleted meanwhile.
		if err := n.s.Tracker().Delete(podResource, "ns", "unknown"); err != nil {
			t.Fatal(err)
		}
		n.s.fail(nil)
		time.Sleep(2 * longestPing)
		<-n.store.Back()
		n.m.ServerBack() // as the agent does
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := n.running(); got["web"] != 1 || len(got) != 1 {
			t.Errorf("running with the server back: %v", got)
		}
		if s := n.status("job"); s.Phase != corev1.PodSucceeded {
			t.Errorf("the job's pod is %+v", s)
		}
		if s := n.status("web"); s.Phase != corev1.PodRunning || s.ContainerStatuses[0].RestartCount < 2 {
			t.Errorf("the web's pod is %+v", s)
		}
		n.halt()
	})
}
