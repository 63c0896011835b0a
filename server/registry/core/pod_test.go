package core_test

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"skiff/server/registry/core"
	"skiff/server/registry/policy"
)

func pod(name string, containers ...string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Labels: map[string]string{"app": name}}}
	for _, c := range containers {
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: c, Image: "i"})
	}
	return p
}

// post makes a create of a subresource of a pod.
func (w *world) post(sub, name string, obj runtime.Object) (runtime.Object, error) {
	w.t.Helper()
	s := w.store("pods")
	list := s.Resource().Subresources
	i := slices.IndexFunc(list, func(s registrySubresource) bool { return s.Name == sub })
	return list[i].Create(w.t.Context(), s, "default", name, obj, nil)
}

func (w *world) pod(name string) *corev1.Pod {
	w.t.Helper()
	obj, err := w.store("pods").Get(w.t.Context(), "default", name)
	if err != nil {
		w.t.Fatal(err)
	}
	return obj.(*corev1.Pod)
}

func binding(name, node string) *corev1.Binding {
	return &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"l": "v"}}, Target: corev1.ObjectReference{Kind: "Node", Name: node}}
}

func TestBinding(t *testing.T) {
	w := newWorld(t, "10.96.0.0/12", core.Deps{})
	w.mustCreate("pods", pod("p", "c"))
	_, err := w.post("binding", "p", &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Target: corev1.ObjectReference{Kind: "Foo"}})
	wantError(t, err, `target.kind: Unsupported value: "Foo": supported values: "Node", "<empty>"`)
	if _, err := w.post("binding", "p", binding("p", "n1")); err != nil {
		t.Fatal(err)
	}
	p := w.pod("p")
	if c := p.Status.Conditions; p.Spec.NodeName != "n1" || p.Labels["l"] != "v" || len(c) != 1 || c[0].Type != corev1.PodScheduled || c[0].Status != corev1.ConditionTrue {
		t.Errorf("got %+v", p)
	}
	_, err = w.post("binding", "p", binding("p", "n2"))
	wantError(t, err, `Operation cannot be fulfilled on pods/binding "p": pod p is already assigned to node "n1"`)

	gated := pod("g", "c")
	gated.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "x"}}
	w.mustCreate("pods", gated)
	_, err = w.post("binding", "g", binding("g", "n1"))
	wantError(t, err, "pod g has non-empty .spec.schedulingGates")
}

func eviction(name string) *policyv1.Eviction {
	return &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
}

// running makes a pod that runs and is ready.
func (w *world) running(name string) {
	w.t.Helper()
	w.mustCreate("pods", pod(name, "c"))
	if _, err := w.post("binding", name, binding(name, "n1")); err != nil {
		w.t.Fatal(err)
	}
	p := w.pod(name)
	p.Status.Phase = corev1.PodRunning
	p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue})
	if _, err := w.replace("pods", "status", p); err != nil {
		w.t.Fatal(err)
	}
}

func TestEviction(t *testing.T) {
	w := newWorld(t, "10.96.0.0/12", core.Deps{})
	if err := w.reg.Add(policy.PodDisruptionBudgets()); err != nil {
		t.Fatal(err)
	}
	budgets, _ := w.reg.Store(schema.GroupResource{Group: "policy", Resource: "poddisruptionbudgets"})
	budget := func() *policyv1.PodDisruptionBudget {
		obj, err := budgets.Get(t.Context(), "default", "b")
		if err != nil {
			t.Fatal(err)
		}
		return obj.(*policyv1.PodDisruptionBudget)
	}
	w.running("free")
	if _, err := w.post("eviction", "free", eviction("free")); err != nil {
		t.Fatal(err)
	}
	if w.pod("free").DeletionTimestamp == nil {
		t.Error("the pod stays")
	}

	w.running("kept")
	b := &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "b"},
		Spec:       policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "kept"}}},
	}
	if _, err := budgets.Create(t.Context(), b, noHooks, false); err != nil {
		t.Fatal(err)
	}
	set := func(allowed int32) {
		if _, err := budgets.Modify(t.Context(), "default", "b", &noRules, func(obj registryObject) error {
			s := &obj.(*policyv1.PodDisruptionBudget).Status
			s.ObservedGeneration, s.DisruptionsAllowed, s.CurrentHealthy, s.DesiredHealthy, s.ExpectedPods = obj.GetGeneration(), allowed, 1, 1-allowed, 1
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	set(0)
	_, err := w.post("eviction", "kept", eviction("kept"))
	wantError(t, err, "Cannot evict pod as it would violate the pod's disruption budget.")
	if !apierrors.IsTooManyRequests(err) {
		t.Error("not 429")
	}
	set(1)
	if _, err := w.post("eviction", "kept", eviction("kept")); err != nil {
		t.Fatal(err)
	}
	if got := budget().Status; got.DisruptionsAllowed != 0 || len(got.DisruptedPods) != 1 {
		t.Errorf("got %+v", got)
	}
	if w.pod("kept").DeletionTimestamp == nil {
		t.Error("the pod stays")
	}
}

// cells are those of a pod's row that do not depend on the present.
func cells(w *world, p *corev1.Pod) [3]string {
	row := w.store("pods").Resource().Cells(p)
	return [3]string{row[1].(string), row[2].(string), row[3].(string)}
}

func state(name string, s corev1.ContainerState) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: name, State: s, Ready: s.Running != nil}
}

var (
	runs      = corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	completed = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Completed"}}
)

func waits(reason string) corev1.ContainerState {
	return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}
}

func TestPodCells(t *testing.T) {
	w := newWorld(t, "10.96.0.0/12", core.Deps{})
	always := corev1.ContainerRestartPolicyAlways
	tests := []struct {
		name  string
		setup func(p *corev1.Pod)
		want  [3]string
	}{
		{"pending", func(p *corev1.Pod) { p.Status.Phase = corev1.PodPending }, [3]string{"0/1", "Pending", "0"}},
		{"gated", func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodPending
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Reason: corev1.PodReasonSchedulingGated}}
		}, [3]string{"0/1", "SchedulingGated", "0"}},
		{"creating", func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodPending
			p.Status.ContainerStatuses = []corev1.ContainerStatus{state("c", waits("ContainerCreating"))}
		}, [3]string{"0/1", "ContainerCreating", "0"}},
		{"running", func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodRunning
			p.Status.ContainerStatuses = []corev1.ContainerStatus{state("c", runs)}
		}, [3]string{"1/1", "Running", "0"}},
		{"crashing", func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodRunning
			s := state("c", waits("CrashLoopBackOff"))
			s.RestartCount = 3
			s.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{FinishedAt: metav1.NewTime(time.Now().Add(-90 * time.Second))}
			p.Status.ContainerStatuses = []corev1.ContainerStatus{s}
		}, [3]string{"0/1", "CrashLoopBackOff", "3 (90s ago)"}},
		{"completed", func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodSucceeded
			p.Status.ContainerStatuses = []corev1.ContainerStatus{state("c", completed)}
		}, [3]string{"0/1", "Completed", "0"}},
		{"killed", func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodFailed
			p.Status.ContainerStatuses = []corev1.ContainerStatus{state("c", corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Signal: 9}})}
		}, [3]string{"0/1", "Signal:9", "0"}},
		{"initializing", func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodPending
			p.Spec.InitContainers = []corev1.Container{{Name: "i"}, {Name: "j"}}
			p.Status.InitContainerStatuses = []corev1.ContainerStatus{state("i", completed), state("j", waits("PodInitializing"))}
		}, [3]string{"0/1", "Init:1/2", "0"}},
		{"init failing", func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodPending
			p.Spec.InitContainers = []corev1.Container{{Name: "i"}}
			p.Status.InitContainerStatuses = []corev1.ContainerStatus{state("i", corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 2}})}
		}, [3]string{"0/1", "Init:ExitCode:2", "0"}},
		{"with a sidecar", func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodRunning
			p.Spec.InitContainers = []corev1.Container{{Name: "s", RestartPolicy: &always}}
			s := state("s", runs)
			s.Started = new(true)
			p.Status.InitContainerStatuses = []corev1.ContainerStatus{s}
			p.Status.ContainerStatuses = []corev1.ContainerStatus{state("c", runs)}
		}, [3]string{"2/2", "Running", "0"}},
		{"going", func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodRunning
			p.DeletionTimestamp = new(metav1.Now())
			p.Status.ContainerStatuses = []corev1.ContainerStatus{state("c", runs)}
		}, [3]string{"1/1", "Terminating", "0"}},
		{"lost", func(p *corev1.Pod) {
			p.Status.Phase, p.Status.Reason = corev1.PodRunning, "NodeLost"
			p.DeletionTimestamp = new(metav1.Now())
		}, [3]string{"0/1", "Unknown", "0"}},
		{"evicted", func(p *corev1.Pod) { p.Status.Phase, p.Status.Reason = corev1.PodFailed, "Evicted" }, [3]string{"0/1", "Evicted", "0"}},
	}
	for _, tt := range tests {
		p := pod("p", "c")
		tt.setup(p)
		if got := cells(w, p); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestPodDeletion(t *testing.T) {
	w := newWorld(t, "10.96.0.0/12", core.Deps{})
	w.mustCreate("pods", pod("waiting", "c"))
	if _, err := w.store("pods").Delete(t.Context(), "default", "waiting", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := w.store("pods").Get(t.Context(), "default", "waiting"); !apierrors.IsNotFound(err) {
		t.Errorf("a pod without a node is not gone at once: %v", err)
	}
	w.running("p")
	if _, err := w.store("pods").Delete(t.Context(), "default", "p", nil); err != nil {
		t.Fatal(err)
	}
	if p := w.pod("p"); p.DeletionGracePeriodSeconds == nil || *p.DeletionGracePeriodSeconds != 30 {
		t.Errorf("grace %v", p.DeletionGracePeriodSeconds)
	}
	if _, err := w.store("pods").Delete(t.Context(), "default", "p", &metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.store("pods").Get(t.Context(), "default", "p"); !apierrors.IsNotFound(err) {
		t.Errorf("the pod is not gone: %v", err)
	}
}
