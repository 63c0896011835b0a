package garbage_test

import (
	"log/slog"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"

	"skiff/server/controller"
	"skiff/server/controller/controllertest"
	"skiff/server/controllers/garbage"
)

func build(e controllertest.Env) ([]controller.Controller, error) {
	return []controller.Controller{garbage.New(garbage.Config{
		Discovery: e.Client.Discovery(), Metadata: e.Metadata, Events: e.Events, Clock: e.Clock, Logger: slog.New(slog.DiscardHandler),
		Shared: map[schema.GroupVersionResource]cache.SharedIndexInformer{
			corev1.SchemeGroupVersion.WithResource("pods"):        e.Informers.Core().V1().Pods().Informer(),
			appsv1.SchemeGroupVersion.WithResource("replicasets"): e.Informers.Apps().V1().ReplicaSets().Informer(),
		},
	})}, nil
}

func TestScripts(t *testing.T) { controllertest.Script(t, build) }

func TestFaults(t *testing.T) { controllertest.Faults(t, build, 2, 3) }
