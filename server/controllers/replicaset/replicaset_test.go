package replicaset_test

import (
	"testing"

	"skiff/server/controller"
	"skiff/server/controller/controllertest"
	"skiff/server/controllers/replicaset"
)

func build(e controllertest.Env) ([]controller.Controller, error) {
	rs, err := replicaset.New(e.Client, e.Informers, e.Events, e.Clock)
	if err != nil {
		return nil, err
	}
	rc, err := replicaset.NewReplicationController(e.Client, e.Informers, e.Events, e.Clock)
	return []controller.Controller{rs, rc}, err
}

func TestScripts(t *testing.T) { controllertest.Script(t, build) }

func TestFaults(t *testing.T) { controllertest.Faults(t, build, 2, 3, 5) }
