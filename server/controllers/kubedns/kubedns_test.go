package kubedns_test

import (
	"net/netip"
	"testing"

	"skiff/server/controller"
	"skiff/server/controller/controllertest"
	"skiff/server/controllers/kubedns"
)

func at(addresses ...string) controllertest.Build {
	var list []netip.Addr
	for _, a := range addresses {
		list = append(list, netip.MustParseAddr(a))
	}
	return func(e controllertest.Env) ([]controller.Controller, error) {
		return []controller.Controller{kubedns.New(e.Client, e.Informers, list)}, nil
	}
}

func TestScripts(t *testing.T) { controllertest.Script(t, at("10.43.0.10")) }

func TestFaults(t *testing.T) { controllertest.Faults(t, at("10.43.0.10"), 2, 3) }

func TestOff(t *testing.T) { controllertest.ScriptDir(t, "testdata/off", at()) }

func TestDualStack(t *testing.T) {
	controllertest.ScriptDir(t, "testdata/dual", at("10.43.0.10", "fd00:43::a"))
}
