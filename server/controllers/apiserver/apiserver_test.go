package apiserver_test

import (
	"net/netip"
	"testing"

	"skiff/server/controller"
	"skiff/server/controller/controllertest"
	"skiff/server/controllers/apiserver"
)

func build(e controllertest.Env) ([]controller.Controller, error) {
	return []controller.Controller{apiserver.New(e.Client, e.Informers, apiserver.Config{
		Addresses: func() []netip.Addr {
			return []netip.Addr{netip.MustParseAddr("192.168.1.5"), netip.MustParseAddr("fd00::1"), netip.MustParseAddr("192.168.1.4")}
		},
		Port: 6443, ServiceIP: netip.MustParseAddr("10.43.0.1"),
	})}, nil
}

func TestScripts(t *testing.T) { controllertest.Script(t, build) }

func TestFaults(t *testing.T) { controllertest.Faults(t, build, 2, 3) }
