package endpointslice_test

import (
	"log/slog"
	"testing"

	"skiff/server/controller"
	"skiff/server/controller/controllertest"
	"skiff/server/controllers/endpoints"
	"skiff/server/controllers/endpointslice"
)

func build(e controllertest.Env) ([]controller.Controller, error) {
	return []controller.Controller{
		endpointslice.New(e.Client, e.Informers, e.Events, slog.New(slog.DiscardHandler)),
		endpoints.New(e.Client, e.Informers, e.Events),
	}, nil
}

func TestScripts(t *testing.T) { controllertest.Script(t, build) }

func TestFaults(t *testing.T) { controllertest.Faults(t, build, 2, 3) }
