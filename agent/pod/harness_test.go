package pod

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/yaml"

	"skiff/agent/container"
	"skiff/agent/image"
	"skiff/agent/objects"
	"skiff/agent/volume"
	"skiff/agent/volume/volumetest"
	fakert "skiff/runtime/cri/fake"
)

// world is a node with a fake runtime and a fake API server.
type world struct {
	t       *testing.T
	client  *fake.Clientset
	rt      *fakert.Runtime
	mounter *volumetest.Mounter
	dir     string
	events  *eventLog
	uids    int

	m      *Manager
	cancel context.CancelFunc
	done   chan struct{}
}

// eventLog keeps events as lines.
type eventLog struct {
	mu    sync.Mutex
	lines []string
}

func (e *eventLog) Event(obj runtime.Object, kind, reason, message string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	where := ""
	if ref, ok := obj.(*corev1.ObjectReference); ok {
		where = ref.Name
		if _, name, ok := strings.Cut(ref.FieldPath, "{"); ok {
			where += "/" + strings.TrimSuffix(name, "}")
		}
	}
	e.lines = append(e.lines, fmt.Sprintf("%s %s %s %s", kind, where, reason, message))
}

func (e *eventLog) Eventf(obj runtime.Object, kind, reason, format string, args ...any) {
	e.Event(obj, kind, reason, fmt.Sprintf(format, args...))
}

func (e *eventLog) AnnotatedEventf(obj runtime.Object, _ map[string]string, kind, reason, format string, args ...any) {
	e.Event(obj, kind, reason, fmt.Sprintf(format, args...))
}

func (e *eventLog) take() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	lines := e.lines
	e.lines = nil
	return lines
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, client: fake.NewClientset(), rt: fakert.New(fakert.Options{Images: []string{"busybox"}, Registry: []string{"slow", "registry.local/app:v1"}, PullDelay: 3 * time.Second}),
		mounter: &volumetest.Mounter{}, dir: t.TempDir(), events: &eventLog{}}
	w.client.PrependReactor("create", "serviceaccounts", func(action clienttesting.Action) (bool, runtime.Object, error) {
		create, ok := action.(clienttesting.CreateActionImpl)
		if !ok || create.GetSubresource() != "token" {
			return false, nil, nil
		}
		req := create.GetObject().(*authenticationv1.TokenRequest).DeepCopy()
		w.uids++
		req.Status.Token = fmt.Sprintf("token-%d", w.uids)
		return true, req, nil
	})
	if err := os.WriteFile(filepath.Join(w.dir, "resolv.conf"), []byte("nameserver 192.0.2.1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	w.start()
	return w
}

// start begins an agent; a second one finds what the first left.
func (w *world) start() {
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel, w.done = cancel, make(chan struct{})
	log := slog.New(slog.NewTextHandler(testWriter{w.t}, nil))
	source := objects.NewWatched(w.client, nil, log)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", UID: "node-uid", Labels: map[string]string{"zone": "a"}}, Status: corev1.NodeStatus{Allocatable: corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourceMemory: resource.MustParse("1Gi"), corev1.ResourcePods: resource.MustParse("3"),
	}}}
	cnode := &container.Node{
		Name: "n1", IPs: func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("192.0.2.7")} }, ClusterDNS: []netip.Addr{netip.MustParseAddr("10.43.0.10")}, ClusterDomain: "cluster.local",
		ResolvConf: filepath.Join(w.dir, "resolv.conf"), HostsFile: "/etc/hosts", LogDir: filepath.Join(w.dir, "logs"), PodsDir: filepath.Join(w.dir, "pods"),
		MemoryCapacity: 1 << 30, Allocatable: func() corev1.ResourceList { return node.Status.Allocatable }, EnforceCPULimits: true, Objects: source,
		Services: func(string) ([]*corev1.Service, error) { return nil, nil }, Warn: func(*corev1.Pod, string, string) {}, Log: log,
	}
	w.m = NewManager(Config{
		Client: w.client, Runtime: w.rt, RuntimeName: "fake", Images: image.New(w.rt, w.events), Node: cnode,
		Volumes:        volume.New(volume.Config{PodsDir: cnode.PodsDir, Objects: source, Tokens: volume.ClientTokens(w.client), Claims: volume.ClientClaims(w.client), Mounter: w.mounter, Node: cnode, Log: log}),
		RuntimeClasses: ClientRuntimeClasses(w.client), Objects: source, Events: w.events, GetNode: func() (*corev1.Node, error) { return node, nil }, RelistPeriod: 3 * time.Minute, Log: log,
	})
	factory := informers.NewSharedInformerFactory(w.client, 0)
	pods := factory.Core().V1().Pods().Informer()
	pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { w.m.Update(o.(*corev1.Pod)) },
		UpdateFunc: func(_, o any) { w.m.Update(o.(*corev1.Pod)) },
		DeleteFunc: func(o any) {
			if tomb, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = tomb.Obj
			}
			w.m.Remove(o.(*corev1.Pod))
		},
	})
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	m := w.m
	go func() {
		defer close(w.done)
		m.Run(ctx)
		source.Close()
		factory.Shutdown()
	}()
	synctest.Wait()
	m.Complete()
	synctest.Wait()
}

// halt ends the agent; containers stay.
func (w *world) halt() {
	w.cancel()
	<-w.done
}

func (w *world) create(data []byte) error {
	pod := &corev1.Pod{}
	if err := yaml.UnmarshalStrict(data, pod); err != nil {
		return err
	}
	w.uids++
	pod.UID = types.UID(fmt.Sprintf("uid-%d", w.uids))
	pod.Namespace = "default"
	pod.Generation = 1
	pod.Spec.NodeName = "n1"
	defaults(pod)
	_, err := w.client.CoreV1().Pods("default").Create(context.Background(), pod, metav1.CreateOptions{})
	return err
}

// defaults are those of the API server that matter here.
func defaults(pod *corev1.Pod) {
	if pod.Spec.RestartPolicy == "" {
		pod.Spec.RestartPolicy = corev1.RestartPolicyAlways
	}
	if pod.Spec.TerminationGracePeriodSeconds == nil {
		grace := int64(30)
		pod.Spec.TerminationGracePeriodSeconds = &grace
	}
	pod.Spec.DNSPolicy = corev1.DNSClusterFirst
	pod.Status.Phase = corev1.PodPending
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			c := &list[i]
			if c.Image == "" {
				c.Image = "busybox"
			}
			if c.ImagePullPolicy == "" {
				c.ImagePullPolicy = corev1.PullIfNotPresent
			}
			c.TerminationMessagePath = "/dev/termination-log"
			if c.TerminationMessagePolicy == "" {
				c.TerminationMessagePolicy = corev1.TerminationMessageReadFile
			}
			for _, p := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
				if p != nil {
					setDefault(&p.PeriodSeconds, 10)
					setDefault(&p.TimeoutSeconds, 1)
					setDefault(&p.SuccessThreshold, 1)
					setDefault(&p.FailureThreshold, 3)
				}
			}
		}
	}
}

func setDefault(field *int32, value int32) {
	if *field == 0 {
		*field = value
	}
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(string(bytes.TrimSpace(p)))
	return len(p), nil
}
