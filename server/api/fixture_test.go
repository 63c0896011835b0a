package api_test

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"skiff/server/api"
	"skiff/server/client"
	"skiff/server/registry"
	"skiff/store"
	"skiff/store/storetest"
)

// The resources below are small descriptions of real kinds: what is tested here
// is the generic server, not the kinds' own rules.

func configMaps() *registry.Resource {
	return &registry.Resource{
		Plural: "configmaps", Singular: "configmap", ShortNames: []string{"cm"}, Kind: "ConfigMap", Namespaced: true,
		Versions: []registry.Version{{Name: "v1", New: registry.New[corev1.ConfigMap](), NewList: registry.New[corev1.ConfigMapList]()}},
		Rules: registry.Rules{
			AllowUnconditionalUpdate: true,
			Validate: registry.Validate(func(_ context.Context, c *corev1.ConfigMap) field.ErrorList {
				var errs field.ErrorList
				for k := range c.Data {
					if k == "bad/key" {
						errs = append(errs, field.Invalid(field.NewPath("data").Key(k), k, "not a key"))
					}
				}
				return errs
			}),
			Warnings: func(_ context.Context, obj, _ registry.Object) []string {
				if obj.(*corev1.ConfigMap).Data["warn"] != "" {
					return []string{"data[warn]: deprecated"}
				}
				return nil
			},
		},
		Columns: []metav1.TableColumnDefinition{{Name: "Name", Type: "string", Format: "name"}, {Name: "Data", Type: "integer"}},
		Cells: registry.Cells(func(c *corev1.ConfigMap) []any {
			return []any{c.Name, len(c.Data)}
		}),
	}
}

func namespaces() *registry.Resource {
	return &registry.Resource{
		Plural: "namespaces", Singular: "namespace", ShortNames: []string{"ns"}, Kind: "Namespace",
		Versions: []registry.Version{{Name: "v1", New: registry.New[corev1.Namespace](), NewList: registry.New[corev1.NamespaceList]()}},
		Rules: registry.Rules{
			AllowUnconditionalUpdate: true,
			PrepareCreate: registry.Prepare(func(_ context.Context, n *corev1.Namespace) {
				n.Spec.Finalizers = []corev1.FinalizerName{corev1.FinalizerKubernetes}
				n.Status.Phase = corev1.NamespaceActive
			}),
			HoldsDeletion: func(o registry.Object) bool { return len(o.(*corev1.Namespace).Spec.Finalizers) > 0 },
			PrepareDelete: func(o registry.Object) { o.(*corev1.Namespace).Status.Phase = corev1.NamespaceTerminating },
		},
		Subresources: []registry.Subresource{{Name: "finalize", Update: &registry.Rules{
			PrepareUpdate: registry.PrepareUpdate(func(_ context.Context, n, old *corev1.Namespace) { n.Status = old.Status }),
		}}},
	}
}

func pods() *registry.Resource {
	return &registry.Resource{
		Plural: "pods", Singular: "pod", ShortNames: []string{"po"}, Categories: []string{"all"}, Kind: "Pod", Namespaced: true,
		Versions: []registry.Version{{Name: "v1", New: registry.New[corev1.Pod](), NewList: registry.New[corev1.PodList]()}},
		Rules: registry.Rules{
			AllowUnconditionalUpdate: true,
			Default: registry.Default(func(p *corev1.Pod) {
				if p.Spec.RestartPolicy == "" {
					p.Spec.RestartPolicy = corev1.RestartPolicyAlways
				}
			}),
			PrepareUpdate: registry.PrepareUpdate(func(_ context.Context, p, old *corev1.Pod) { p.Status = old.Status }),
			Grace: func(o registry.Object, opts *metav1.DeleteOptions) int64 {
				p := o.(*corev1.Pod)
				period := int64(30)
				if opts.GracePeriodSeconds != nil {
					period = *opts.GracePeriodSeconds
				}
				if p.Spec.NodeName == "" {
					period = 0
				}
				return period
			},
		},
		Fields: func(o registry.Object) fields.Set {
			p := o.(*corev1.Pod)
			return fields.Set{"spec.nodeName": p.Spec.NodeName, "status.phase": string(p.Status.Phase)}
		},
		FieldNames: []string{"spec.nodeName", "status.phase"},
		WireFields: []string{"spec.nodeName", "status.phase"},
		Columns: []metav1.TableColumnDefinition{
			{Name: "Name", Type: "string", Format: "name"}, {Name: "Ready", Type: "string"}, {Name: "Status", Type: "string"}, {Name: "Age", Type: "string"},
		},
		Cells: registry.Cells(func(p *corev1.Pod) []any {
			return []any{p.Name, "0/1", string(p.Status.Phase), "1m"}
		}),
		Subresources: []registry.Subresource{{Name: "status", Update: &registry.Rules{
			PrepareUpdate: registry.PrepareUpdate(func(_ context.Context, p, old *corev1.Pod) { p.Spec = old.Spec }),
		}}},
	}
}

func deployments() *registry.Resource {
	return &registry.Resource{
		Group: "apps", Plural: "deployments", Singular: "deployment", ShortNames: []string{"deploy"}, Categories: []string{"all"}, Kind: "Deployment", Namespaced: true,
		Versions: []registry.Version{{Name: "v1", New: registry.New[appsv1.Deployment](), NewList: registry.New[appsv1.DeploymentList]()}},
		Rules: registry.Rules{
			Generation: true, AllowUnconditionalUpdate: true,
			PrepareUpdate: registry.PrepareUpdate(func(_ context.Context, d, old *appsv1.Deployment) { d.Status = old.Status }),
		},
		Subresources: []registry.Subresource{
			{Name: "status", Update: &registry.Rules{
				PrepareUpdate: registry.PrepareUpdate(func(_ context.Context, d, old *appsv1.Deployment) { d.Spec = old.Spec }),
			}},
			{Name: "scale", Scale: &registry.Scale{
				Get: func(o registry.Object) (*autoscalingv1.Scale, error) {
					d := o.(*appsv1.Deployment)
					s := &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{
						Name: d.Name, Namespace: d.Namespace, UID: d.UID, ResourceVersion: d.ResourceVersion, CreationTimestamp: d.CreationTimestamp,
					}}
					if d.Spec.Replicas != nil {
						s.Spec.Replicas = *d.Spec.Replicas
					}
					return s, nil
				},
				Set: func(o registry.Object, n int32) { o.(*appsv1.Deployment).Spec.Replicas = &n },
			}},
		},
	}
}

func leases() *registry.Resource {
	return &registry.Resource{
		Group: "coordination.k8s.io", Plural: "leases", Singular: "lease", Kind: "Lease", Namespaced: true,
		Versions: []registry.Version{{Name: "v1", New: registry.New[coordinationv1.Lease](), NewList: registry.New[coordinationv1.LeaseList]()}},
		Rules:    registry.Rules{CreateOnUpdate: true},
		Volatile: func(_, old registry.Object) bool { return old != nil },
	}
}

// autoscalers have two versions, converted as far as the tests need it.
func autoscalers() *registry.Resource {
	return &registry.Resource{
		Group: "autoscaling", Plural: "horizontalpodautoscalers", Singular: "horizontalpodautoscaler", ShortNames: []string{"hpa"}, Kind: "HorizontalPodAutoscaler", Namespaced: true,
		Versions: []registry.Version{
			{Name: "v2", New: registry.New[autoscalingv2.HorizontalPodAutoscaler](), NewList: registry.New[autoscalingv2.HorizontalPodAutoscalerList]()},
			{
				Name: "v1", New: registry.New[autoscalingv1.HorizontalPodAutoscaler](), NewList: registry.New[autoscalingv1.HorizontalPodAutoscalerList](),
				ToHub: func(in runtime.Object) (registry.Object, error) {
					h := in.(*autoscalingv1.HorizontalPodAutoscaler)
					return &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: h.ObjectMeta, Spec: autoscalingv2.HorizontalPodAutoscalerSpec{MaxReplicas: h.Spec.MaxReplicas}}, nil
				},
				FromHub: func(in registry.Object) (runtime.Object, error) {
					h := in.(*autoscalingv2.HorizontalPodAutoscaler)
					return &autoscalingv1.HorizontalPodAutoscaler{ObjectMeta: h.ObjectMeta, Spec: autoscalingv1.HorizontalPodAutoscalerSpec{MaxReplicas: h.Spec.MaxReplicas}}, nil
				},
			},
		},
		Rules: registry.Rules{AllowUnconditionalUpdate: true},
	}
}

func testResources() []*registry.Resource {
	return []*registry.Resource{namespaces(), configMaps(), pods(), deployments(), leases(), autoscalers()}
}

// fixture is a server and clients of it.
type fixture struct {
	server *api.Server
	http   *httptest.Server
	store  store.Store
	// remote speaks HTTP, local calls the handler.
	remote, local *rest.Config
}

func newFixture(t testing.TB, change func(*api.Config)) *fixture {
	t.Helper()
	cfg := api.Config{Store: storetest.NewMemory(t), Resources: testResources(), Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&cfg)
	}
	srv, err := api.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{server: srv, store: cfg.Store}
	f.http = httptest.NewServer(srv)
	t.Cleanup(func() {
		srv.Shutdown()
		f.http.Close()
	})
	f.remote = &rest.Config{Host: f.http.URL, QPS: -1}
	f.local = client.InProcess(srv, &user.DefaultInfo{Name: "test", Groups: []string{user.SystemPrivilegedGroup}})
	return f
}

// each runs a test with a client that speaks JSON over HTTP, and with one that
// calls the handler and speaks protobuf.
func each(t *testing.T, test func(t *testing.T, f *fixture, c kubernetes.Interface)) {
	for _, name := range []string{"http", "in-process"} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, nil)
			cfg := f.remote
			if name == "in-process" {
				cfg = f.local
			}
			test(t, f, kubernetes.NewForConfigOrDie(cfg))
		})
	}
}

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func configMap(name string, data ...string) *corev1.ConfigMap {
	c := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}, Data: map[string]string{}}
	for i := 0; i+1 < len(data); i += 2 {
		c.Data[data[i]] = data[i+1]
	}
	return c
}
