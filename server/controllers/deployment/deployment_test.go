package deployment_test

import (
	"testing"

	"skiff/server/controller"
	"skiff/server/controller/controllertest"
	"skiff/server/controllers/deployment"
	"skiff/server/controllers/replicaset"
)

func build(e controllertest.Env) ([]controller.Controller, error) {
	d, err := deployment.New(e.Client, e.Informers, e.Events, e.Clock)
	if err != nil {
		return nil, err
	}
	rs, err := replicaset.New(e.Client, e.Informers, e.Events, e.Clock)
	return []controller.Controller{d, rs}, err
}

func TestScripts(t *testing.T) { controllertest.Script(t, build) }

func TestFaults(t *testing.T) { controllertest.Faults(t, build, 2, 3, 5, 7) }
