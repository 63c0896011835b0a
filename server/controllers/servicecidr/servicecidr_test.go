package servicecidr_test

import (
	"net/netip"
	"testing"

	"skiff/server/controller"
	"skiff/server/controller/controllertest"
	"skiff/server/controllers/servicecidr"
)

func build(e controllertest.Env) ([]controller.Controller, error) {
	return []controller.Controller{servicecidr.New(e.Client, e.Informers, e.Events, e.Clock, []netip.Prefix{netip.MustParsePrefix("10.43.0.0/16")})}, nil
}

func TestScripts(t *testing.T) { controllertest.Script(t, build) }

func TestFaults(t *testing.T) { controllertest.Faults(t, build, 2, 3) }
