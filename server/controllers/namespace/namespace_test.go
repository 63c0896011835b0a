package namespace_test

import (
	"testing"

	"skiff/server/controller"
	"skiff/server/controller/controllertest"
	"skiff/server/controllers/namespace"
	"skiff/server/controllers/rootca"
	"skiff/server/controllers/serviceaccount"
)

func build(e controllertest.Env) ([]controller.Controller, error) {
	return []controller.Controller{
		namespace.New(e.Client, e.Metadata, e.Informers, e.Clock),
		serviceaccount.New(e.Client, e.Informers),
		rootca.New(e.Client, e.Informers, func() []byte { return []byte("PEM") }),
	}, nil
}

func TestScripts(t *testing.T) { controllertest.Script(t, build) }

func TestFaults(t *testing.T) { controllertest.Faults(t, build, 2, 3, 5) }
