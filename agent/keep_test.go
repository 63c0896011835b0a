package agent

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/record"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"skiff/agent/cgroup"
	fakert "skiff/runtime/cri/fake"
)

// keeping is an agent that keeps its node's object, and nothing else.
type keeping struct {
	t      *testing.T
	a      *Agent
	client *fake.Clientset
	rt     *fakert.Runtime
	events *record.FakeRecorder
	images chan struct{}
	// ready counts how often the agent said that it is.
	ready int
}

// keep runs fn, in virtual time, with a node that is registered.
func keep(t *testing.T, opts fakert.Options, fn func(k *keeping), there ...runtime.Object) {
	synctest.Test(t, func(t *testing.T) {
		k := &keeping{t: t, client: fake.NewClientset(there...), rt: fakert.New(opts), events: record.NewFakeRecorder(100), images: make(chan struct{}, 1)}
		var err error
		k.a, err = New(Config{
			NodeName: "n1", NodeIPs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, DataDir: t.TempDir(), Port: -1, Cgroup: cgroup.Config{Root: t.TempDir()},
		}, Deps{Client: k.client, Runtime: k.rt, Images: k.rt, Recorder: k.events, ImagesChanged: k.images,
			OnReady: func() { k.ready++ }, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer cancel()
		go k.a.deps.Nodes.RunWithContext(ctx)
		go k.a.keepNode(ctx)
		synctest.Wait()
		fn(k)
	})
}

func (k *keeping) node() *corev1.Node {
	k.t.Helper()
	n, err := k.client.CoreV1().Nodes().Get(k.t.Context(), "n1", metav1.GetOptions{})
	if err != nil {
		k.t.Fatal(err)
	}
	return n
}

// writes are the changes of the node's status since it was last asked.
func (k *keeping) writes() (n int) {
	for _, a := range k.client.Actions() {
		if a.Matches("patch", "nodes") && a.GetSubresource() == "status" {
			n++
		}
	}
	k.client.ClearActions()
	return n
}

func (k *keeping) patch(patch string, sub ...string) {
	k.t.Helper()
	if _, err := k.client.CoreV1().Nodes().Patch(k.t.Context(), "n1", types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}, sub...); err != nil {
		k.t.Fatal(err)
	}
	synctest.Wait()
}

func (k *keeping) said() (events []string) {
	for {
		select {
		case e := <-k.events.Events:
			events = append(events, e)
		default:
			return events
		}
	}
}

func readiness(n *corev1.Node) string {
	i := slices.IndexFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool { return c.Type == corev1.NodeReady })
	if i < 0 {
		return "none"
	}
	return string(n.Status.Conditions[i].Status) + " " + n.Status.Conditions[i].Message
}

func TestNodeTellsWhatTheRuntimeCan(t *testing.T) {
	yes := &runtimeapi.RuntimeHandlerFeatures{RecursiveReadOnlyMounts: true}
	keep(t, fakert.Options{Handlers: []*runtimeapi.RuntimeHandler{{Name: "runc", Features: yes}, {Name: ""}}, Features: &runtimeapi.RuntimeFeatures{SupplementalGroupsPolicy: true}}, func(k *keeping) {
		s := k.node().Status
		if len(s.RuntimeHandlers) != 2 || s.RuntimeHandlers[0].Name != "" || *s.RuntimeHandlers[0].Features.RecursiveReadOnlyMounts || !*s.RuntimeHandlers[1].Features.RecursiveReadOnlyMounts {
			t.Errorf("handlers %+v", s.RuntimeHandlers)
		}
		if s.Features == nil || !*s.Features.SupplementalGroupsPolicy {
			t.Errorf("features %+v", s.Features)
		}
		if f := k.a.features("runc"); !f.RecursiveReadOnly || f.UserNamespaces {
			t.Errorf("pods are told that runc can %+v", f)
		}
		if !slices.Contains(s.DeclaredFeatures, "RestartAllContainersOnContainerExits") {
			t.Errorf("declared features %q", s.DeclaredFeatures)
		}
	})
}

func TestIdleNodeIsNotWritten(t *testing.T) {
	keep(t, fakert.Options{}, func(k *keeping) {
		k.writes()
		time.Sleep(4 * time.Minute)
		if n := k.writes(); n != 0 {
			t.Errorf("%d writes in four minutes in which nothing happened", n)
		}
		time.Sleep(2 * time.Minute)
		if n := k.writes(); n != 1 {
			t.Errorf("%d writes when the heartbeat was due, want 1", n)
		}
	})
}

func TestImagesAreShownWhenTheyCome(t *testing.T) {
	keep(t, fakert.Options{}, func(k *keeping) {
		k.rt.AddImage("new:v1")
		k.images <- struct{}{}
		synctest.Wait()
		if images := k.node().Status.Images; len(images) != 1 || !slices.Contains(images[0].Names, "new:v1") {
			t.Errorf("images %v", images)
		}
		k.writes()
		k.images <- struct{}{}
		synctest.Wait()
		if n := k.writes(); n != 0 {
			t.Errorf("%d writes for the same images", n)
		}
	})
}

func TestForeignStatusIsPutRight(t *testing.T) {
	keep(t, fakert.Options{}, func(k *keeping) {
		k.patch(`{"status": {"conditions": [{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status."}]}}`, "status")
		if got := readiness(k.node()); got != "True kubelet is posting ready status" {
			t.Errorf("the node is Ready %s", got)
		}
	})
}

func TestNetworkComesAndGoes(t *testing.T) {
	keep(t, fakert.Options{}, func(k *keeping) {
		if err := k.a.networkReady(); err != nil {
			t.Errorf("pods wait for the network: %v", err)
		}
		k.rt.SetNetwork("no plugin")
		time.Sleep(checkPeriod)
		synctest.Wait()
		if got := readiness(k.node()); !strings.Contains(got, "False container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:no plugin") {
			t.Errorf("without a network the node is Ready %s", got)
		}
		if err := k.a.networkReady(); err == nil {
			t.Error("pods do not wait for the network")
		}
		k.rt.SetNetwork("")
		// Whoever waits for it finds out first.
		if err := k.a.networkReady(); err != nil {
			t.Errorf("the network is back, but %v", err)
		}
		synctest.Wait()
		if got := readiness(k.node()); !strings.HasPrefix(got, "True") {
			t.Errorf("with the network back the node is Ready %s", got)
		}
		k.rt.Fail("Status", errors.New("gone"))
		time.Sleep(checkPeriod)
		synctest.Wait()
		if events := strings.Join(k.said(), "\n"); strings.Count(events, "Normal NodeNotReady ") != 2 {
			t.Errorf("events:\n%s", events)
		}
	})
}

// TestReadyIsOfThisRun: what the last run left in the node's status is not heard
// for this one's.
func TestReadyIsOfThisRun(t *testing.T) {
	last := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}
	last.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	keep(t, fakert.Options{NoNetwork: "no plugin"}, func(k *keeping) {
		if k.ready != 0 {
			t.Error("ready by the last run's status")
		}
		k.rt.SetNetwork("")
		time.Sleep(checkPeriod)
		synctest.Wait()
		k.rt.SetNetwork("gone again")
		time.Sleep(checkPeriod)
		k.rt.SetNetwork("")
		time.Sleep(checkPeriod)
		synctest.Wait()
		if k.ready != 1 {
			t.Errorf("said %d times that it is ready, want once", k.ready)
		}
	}, last)
}

func TestCordonIsAnEvent(t *testing.T) {
	keep(t, fakert.Options{}, func(k *keeping) {
		k.said()
		k.patch(`{"spec": {"unschedulable": true}}`)
		k.patch(`{"spec": {"unschedulable": null}}`)
		want := "Normal NodeNotSchedulable Node n1 status is now: NodeNotSchedulable\nNormal NodeSchedulable Node n1 status is now: NodeSchedulable"
		if got := strings.Join(k.said(), "\n"); got != want {
			t.Errorf("events:\n%s\nwant:\n%s", got, want)
		}
	})
}

func TestStatusIsTriedAgain(t *testing.T) {
	keep(t, fakert.Options{}, func(k *keeping) {
		failures := 3
		k.client.PrependReactor("patch", "nodes", func(clienttesting.Action) (bool, runtime.Object, error) {
			failures--
			return failures >= 0, nil, errors.New("no answer")
		})
		k.rt.AddImage("new:v1")
		k.images <- struct{}{}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if images := k.node().Status.Images; failures >= 0 || len(images) != 1 {
			t.Errorf("after the failures the images are %v", images)
		}
	})
}

// TestSeeTheNewest keeps the answer to a write that the informer has overtaken
// from hiding the node's address blocks: nothing would bring them again.
func TestSeeTheNewest(t *testing.T) {
	node := func(uid, version string, blocks ...string) *corev1.Node {
		return &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{UID: types.UID(uid), ResourceVersion: version},
			Spec:       corev1.NodeSpec{PodCIDRs: blocks},
		}
	}
	const block = "10.42.0.0/24"
	a := &Agent{events: newEvents(Config{NodeName: "n1"}, Deps{Recorder: record.NewFakeRecorder(1)})}
	for _, step := range []struct {
		what    string
		node    *corev1.Node
		version string
		blocks  int
		news    bool
	}{
		{"registered", node("u", "9"), "9", 0, true},
		{"got its block", node("u", "11", block), "11", 1, true},
		{"answer to an earlier write", node("u", "10"), "11", 1, false},
		{"answer to a later write", node("u", "12", block), "12", 1, true},
		{"the informer brings that", node("u", "12", block), "12", 1, false},
		{"made anew", node("v", "2"), "2", 0, true},
	} {
		news := a.see(step.node)
		now, err := a.Node()
		if err != nil {
			t.Fatal(err)
		}
		if ref := a.events.ref.Load(); ref.UID != step.node.UID {
			t.Errorf("%s: events refer to %s", step.what, ref.UID)
		}
		if now.ResourceVersion != step.version || len(now.Spec.PodCIDRs) != step.blocks || news != step.news {
			t.Errorf("%s: version %s with %d blocks, news %v; want %+v", step.what, now.ResourceVersion, len(now.Spec.PodCIDRs), news, step)
		}
	}
}

// TestDeletedNodeStaysDeleted: it says so once, and registers at its next start;
// an object that somebody else makes is taken up.
func TestDeletedNodeStaysDeleted(t *testing.T) {
	keep(t, fakert.Options{}, func(k *keeping) {
		var said bytes.Buffer
		k.a.log = slog.New(slog.NewTextHandler(&said, nil))
		nodes := k.client.CoreV1().Nodes()
		was := k.node()
		if err := nodes.Delete(t.Context(), "n1", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Minute)
		if _, err := nodes.Get(t.Context(), "n1", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("the node is there again: %v", err)
		}
		if strings.Count(said.String(), "this node was deleted from the cluster") != 1 || strings.Count(said.String(), "\n") != 1 {
			t.Errorf("said:\n%s", said.String())
		}
		was.UID, was.ResourceVersion, was.Status = "another", "", corev1.NodeStatus{}
		if _, err := nodes.Create(t.Context(), was, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if len(k.node().Status.Conditions) == 0 {
			t.Error("the new object has no status")
		}
	})
}

// absent is the memory of an agent whose API server has gone.
type absent struct {
	Memory
	away bool
}

func (a *absent) Away() bool { return a.away }

// TestReadyAlone: a node that starts without the API server is ready as soon as it
// knows itself and its runtime runs pods, and says nothing of what the absence
// explains.
func TestReadyAlone(t *testing.T) {
	for name, c := range map[string]struct {
		knows, away bool
		noNetwork   string
		want        int
		logs        bool
	}{
		"away":          {knows: true, away: true, want: 1},
		"knows nothing": {away: true},
		"refused":       {knows: true, logs: true},
		"no network":    {knows: true, away: true, noNetwork: "starting"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, rt := fake.NewClientset(), fakert.New(fakert.Options{NoNetwork: c.noNetwork})
				client.PrependReactor("create", "nodes", func(clienttesting.Action) (bool, runtime.Object, error) {
					return true, nil, errors.New("nobody answers")
				})
				var log bytes.Buffer
				ready := 0
				a, err := New(Config{NodeName: "n1", NodeIPs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, DataDir: t.TempDir(), Port: -1, Cgroup: cgroup.Config{Root: t.TempDir()}},
					Deps{Client: client, Runtime: rt, Images: rt, Recorder: &record.FakeRecorder{}, ImagesChanged: make(chan struct{}), Logger: slog.New(slog.NewTextHandler(&log, nil)), OnReady: func() { ready++ }})
				if err != nil {
					t.Fatal(err)
				}
				a.deps.Memory = &absent{away: c.away}
				if c.knows {
					a.see(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", UID: "u", ResourceVersion: "1"}})
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer synctest.Wait()
				defer cancel()
				go a.keepNode(ctx)
				time.Sleep(time.Minute)
				synctest.Wait()
				if ready != c.want {
					t.Errorf("ready %d times, want %d", ready, c.want)
				}
				if got := strings.Contains(log.String(), "cannot register the node"); got != c.logs {
					t.Errorf("logged: %s", log.String())
				}
			})
		})
	}
}
