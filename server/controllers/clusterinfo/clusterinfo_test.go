package clusterinfo_test

import (
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"skiff/server/clusterinfo"
	"skiff/server/controller"
	"skiff/server/controller/controllertest"
	controllers "skiff/server/controllers/clusterinfo"
)

// build makes a controller whose server is at another address after half an hour.
func build(e controllertest.Env) ([]controller.Controller, error) {
	var server atomic.Value
	server.Store("https://192.0.2.1:6443")
	changed := make(chan struct{}, 1)
	time.AfterFunc(30*time.Minute, func() {
		server.Store("https://192.0.2.2:6443")
		changed <- struct{}{}
	})
	return []controller.Controller{controllers.New(e.Client, controllers.Config{
		Info: func() clusterinfo.Info {
			return clusterinfo.Info{
				ClusterCIDRs:  []netip.Prefix{netip.MustParsePrefix("10.42.0.0/16")},
				ServiceCIDRs:  []netip.Prefix{netip.MustParsePrefix("10.43.0.0/16")},
				ClusterDNS:    []netip.Addr{netip.MustParseAddr("10.43.0.10")},
				ClusterDomain: "cluster.local", Overlay: "vxlan", NodeLease: 40 * time.Second, Servers: []string{server.Load().(string)}, ClientCA: []byte("PEM"),
			}
		},
		Changed: changed,
	})}, nil
}

func TestScripts(t *testing.T) { controllertest.Script(t, build) }

func TestFaults(t *testing.T) { controllertest.Faults(t, build, 2, 3) }
