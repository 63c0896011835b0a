package controllers_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/utils/clock"
	"sigs.k8s.io/yaml"

	"skiff/server/admission"
	"skiff/server/admission/lifecycle"
	"skiff/server/api"
	"skiff/server/client"
	"skiff/server/controller"
	"skiff/server/controller/controllertest"
	"skiff/server/controllers"
	"skiff/server/registry/builtin"
	"skiff/server/registry/core"
	"skiff/store/storetest"
)

// TestAgainstTheAPIServer runs all controllers against the real API server: what
// its rules do to their objects is as they expect. All of it is in memory, and so
// in virtual time.
func TestAgainstTheAPIServer(t *testing.T) { synctest.Test(t, testAgainstTheAPIServer) }

func testAgainstTheAPIServer(t *testing.T) {
	var srv *api.Server
	cfg := client.InProcess(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { srv.ServeHTTP(w, r) }),
		&user.DefaultInfo{Name: "test", Groups: []string{"system:masters"}})
	c := kubernetes.NewForConfigOrDie(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	f := client.Informers(c)
	srv, err := api.New(api.Config{
		Store: storetest.NewMemory(t),
		Resources: builtin.Resources(builtin.Deps{
			Core: core.Deps{ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.43.0.0/16")}},
		}),
		// Without it a controller may make objects in a namespace that is emptied.
		Admission: admission.Chain{lifecycle.New(f.Core().V1().Namespaces().Lister(), func(ctx context.Context, name string) (*corev1.Namespace, error) {
			return c.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
		}, clock.RealClock{})},
	})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	d := deps(controllertest.Env{Client: c, Metadata: metadata.NewForConfigOrDie(cfg), Informers: f, Clock: clock.RealClock{}}, log)
	d.ClusterDNS = []netip.Addr{netip.MustParseAddr("10.43.0.10")}
	list, err := controllers.All(d)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 2)
	go func() {
		done <- controller.Run(ctx, controller.Config{Logger: log, StartInformers: f.StartWithContext}, list)
	}()
	go func() { done <- playAgent(ctx, c) }()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		f.Shutdown()
		d.Events.Close()
	})
	scenario(t, ctx, c)
}

// eventually lets virtual time pass until a state has come.
func eventually(t *testing.T, what string, ok func() (bool, string)) {
	t.Helper()
	var last string
	for range 600 {
		synctest.Wait()
		done, now := ok()
		if done {
			return
		}
		last = now
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("%s did not come: %s", what, last)
}

func decode[T any](t *testing.T, text string) *T {
	t.Helper()
	o := new(T)
	if err := yaml.UnmarshalStrict([]byte(text), o); err != nil {
		t.Fatal(err)
	}
	return o
}

const podSpec = `{containers: [{name: c, image: i}]}`

func scenario(t *testing.T, ctx context.Context, c kubernetes.Interface) {
	for _, ns := range []string{"default", "kube-system", "app"} {
		_, err := c.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}, metav1.CreateOptions{}))
	must(c.AppsV1().Deployments("app").Create(ctx, decode[appsv1.Deployment](t, `
metadata: {name: web}
spec: {replicas: 3, selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: `+podSpec+`}}`), metav1.CreateOptions{}))
	must(c.AppsV1().StatefulSets("app").Create(ctx, decode[appsv1.StatefulSet](t, `
metadata: {name: db}
spec: {replicas: 2, serviceName: db, selector: {matchLabels: {app: db}}, template: {metadata: {labels: {app: db}}, spec: `+podSpec+`}}`), metav1.CreateOptions{}))
	must(c.AppsV1().DaemonSets("app").Create(ctx, decode[appsv1.DaemonSet](t, `
metadata: {name: ds}
spec: {selector: {matchLabels: {app: ds}}, template: {metadata: {labels: {app: ds}}, spec: `+podSpec+`}}`), metav1.CreateOptions{}))
	must(c.BatchV1().Jobs("app").Create(ctx, decode[batchv1.Job](t, `
metadata: {name: j}
spec: {completions: 2, parallelism: 2, template: {metadata: {labels: {run: once}}, spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}`), metav1.CreateOptions{}))
	must(c.CoreV1().Services("app").Create(ctx, decode[corev1.Service](t, `
metadata: {name: web}
spec: {clusterIP: None, selector: {app: web}, ports: [{name: http, port: 80}]}`), metav1.CreateOptions{}))

	eventually(t, "a complete deployment", func() (bool, string) {
		d, err := c.AppsV1().Deployments("app").Get(ctx, "web", metav1.GetOptions{})
		return err == nil && d.Status.AvailableReplicas == 3 && d.Annotations["deployment.kubernetes.io/revision"] == "1", fmt.Sprint(d.Status, d.Annotations, err)
	})
	eventually(t, "a stateful set", func() (bool, string) {
		s, err := c.AppsV1().StatefulSets("app").Get(ctx, "db", metav1.GetOptions{})
		return err == nil && s.Status.ReadyReplicas == 2 && s.Status.CurrentRevision == s.Status.UpdateRevision, fmt.Sprint(s.Status, err)
	})
	eventually(t, "a daemon set", func() (bool, string) {
		s, err := c.AppsV1().DaemonSets("app").Get(ctx, "ds", metav1.GetOptions{})
		return err == nil && s.Status.NumberReady == 1, fmt.Sprint(s.Status, err)
	})
	eventually(t, "a complete job", func() (bool, string) {
		j, err := c.BatchV1().Jobs("app").Get(ctx, "j", metav1.GetOptions{})
		return err == nil && j.Status.Succeeded == 2 && j.Status.CompletionTime != nil, fmt.Sprint(j.Status, err)
	})
	eventually(t, "endpoints", func() (bool, string) {
		l, err := c.DiscoveryV1().EndpointSlices("app").List(ctx, metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=web"})
		return err == nil && len(l.Items) == 1 && len(l.Items[0].Endpoints) == 3, fmt.Sprint(l, err)
	})
	eventually(t, "the kubernetes service", func() (bool, string) {
		e, err := c.CoreV1().Endpoints("default").Get(ctx, "kubernetes", metav1.GetOptions{})
		return err == nil && len(e.Subsets) == 1, fmt.Sprint(e, err)
	})
	eventually(t, "the kube-dns service", func() (bool, string) {
		s, err := c.CoreV1().Services("kube-system").Get(ctx, "kube-dns", metav1.GetOptions{})
		if err != nil || s.Spec.ClusterIP != "10.43.0.10" {
			return false, fmt.Sprint(s, err)
		}
		l, err := c.DiscoveryV1().EndpointSlices("kube-system").List(ctx, metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=kube-dns"})
		return err == nil && len(l.Items) == 1 && l.Items[0].Endpoints[0].Addresses[0] == "10.43.0.10", fmt.Sprint(l, err)
	})
	eventually(t, "a block of addresses", func() (bool, string) {
		n, err := c.CoreV1().Nodes().Get(ctx, "n1", metav1.GetOptions{})
		return err == nil && n.Spec.PodCIDR == "10.42.0.0/24", fmt.Sprint(n.Spec, err)
	})

	foreground := metav1.DeletePropagationForeground
	must(nil, c.AppsV1().Deployments("app").Delete(ctx, "web", metav1.DeleteOptions{PropagationPolicy: &foreground}))
	eventually(t, "the end of the deployment", func() (bool, string) {
		_, err := c.AppsV1().Deployments("app").Get(ctx, "web", metav1.GetOptions{})
		return apierrors.IsNotFound(err), fmt.Sprint(err)
	})
	must(nil, c.CoreV1().Namespaces().Delete(ctx, "app", metav1.DeleteOptions{}))
	eventually(t, "the end of the namespace", func() (bool, string) {
		ns, err := c.CoreV1().Namespaces().Get(ctx, "app", metav1.GetOptions{})
		return apierrors.IsNotFound(err), fmt.Sprint(ns.Status, err)
	})
	if l, err := c.CoreV1().Pods("").List(ctx, metav1.ListOptions{}); err != nil || len(l.Items) > 0 {
		t.Errorf("%d pods are left, %v", len(l.Items), err)
	}
}

// playAgent binds pods, makes them ready (or ends them, for jobs), and confirms
// deletions.
func playAgent(ctx context.Context, c kubernetes.Interface) error {
	w, err := c.CoreV1().Pods("").Watch(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	defer w.Stop()
	for e := range w.ResultChan() {
		p, ok := e.Object.(*corev1.Pod)
		if !ok || e.Type == "DELETED" {
			continue
		}
		pods := c.CoreV1().Pods(p.Namespace)
		switch {
		case p.DeletionTimestamp != nil:
			_ = pods.Delete(ctx, p.Name, *metav1.NewDeleteOptions(0))
		case p.Spec.NodeName == "":
			_ = pods.Bind(ctx, &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: p.Name}, Target: corev1.ObjectReference{Kind: "Node", Name: "n1"}}, metav1.CreateOptions{})
		case p.Status.Phase == corev1.PodPending:
			p.Status.Phase, p.Status.PodIP, p.Status.PodIPs = corev1.PodRunning, "10.42.0.9", []corev1.PodIP{{IP: "10.42.0.9"}}
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()}}
			if p.Labels["run"] == "once" {
				p.Status.Phase = corev1.PodSucceeded
			}
			_, _ = pods.UpdateStatus(ctx, p, metav1.UpdateOptions{})
		}
	}
	return nil
}
