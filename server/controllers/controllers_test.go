package controllers_test

import (
	"log/slog"
	"net/netip"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"

	"skiff/server/clusterinfo"
	"skiff/server/controller"
	"skiff/server/controller/controllertest"
	"skiff/server/controller/events"
	"skiff/server/controllers"
	"skiff/server/controllers/apiserver"
	clusterinfocontroller "skiff/server/controllers/clusterinfo"
	"skiff/server/controllers/nodeipam"
	"skiff/server/controllers/nodelifecycle"
)

func deps(e controllertest.Env, log *slog.Logger) controllers.Deps {
	return controllers.Deps{
		Client: e.Client, Metadata: e.Metadata, Informers: e.Informers, Events: events.NewSink(e.Client, e.Clock, log),
		Clock: e.Clock, Logger: log,
		RootCA:    func() []byte { return []byte("PEM") },
		SignToken: func(*corev1.ServiceAccount, *corev1.Secret) (string, error) { return "token", nil },
		NodeIPAM:  nodeipam.Config{ClusterCIDRs: []netip.Prefix{netip.MustParsePrefix("10.42.0.0/16")}, MaskSize4: 24},
		// The scripts' nodes don't report.
		NodeLifecycle: nodelifecycle.Config{MonitorGrace: 10000 * time.Hour},
		ServiceCIDRs:  []netip.Prefix{netip.MustParsePrefix("10.43.0.0/16")},
		ClusterInfo:   clusterinfocontroller.Config{Info: func() clusterinfo.Info { return clusterinfo.Info{ClusterDomain: "cluster.local"} }},
		APIServer: apiserver.Config{
			Addresses: func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("192.168.1.4")} },
			Port:      6443, ServiceIP: netip.MustParseAddr("10.43.0.1"),
		},
	}
}

func build(e controllertest.Env) ([]controller.Controller, error) {
	return controllers.All(deps(e, slog.New(slog.DiscardHandler)))
}

// TestScripts runs all controllers together.
func TestScripts(t *testing.T) { controllertest.Script(t, build) }

// TestLostNode runs all controllers together over nodes that have four seconds.
func TestLostNode(t *testing.T) {
	controllertest.ScriptDir(t, "testdata/lost", func(e controllertest.Env) ([]controller.Controller, error) {
		d := deps(e, slog.New(slog.DiscardHandler))
		d.NodeLifecycle = nodelifecycle.Config{MonitorGrace: 4 * time.Second}
		return controllers.All(d)
	})
}

// TestIdleGoroutines holds what the engine and its controllers cost while idle:
// the informers' goroutines, and none of their own but the collector's.
func TestIdleGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := runtime.NumGoroutine()
		stop := controllertest.Start(t, build)
		time.Sleep(time.Hour)
		synctest.Wait()
		idle := runtime.NumGoroutine() - before
		t.Logf("%d goroutines while idle", idle)
		if idle > 300 {
			t.Errorf("%d goroutines while idle", idle)
		}
		stop()
	})
}
