package podgc_test

import (
	"testing"

	"skiff/server/controller"
	"skiff/server/controller/controllertest"
	"skiff/server/controllers/podgc"
)

func build(e controllertest.Env) ([]controller.Controller, error) {
	c, err := podgc.New(e.Client, e.Informers, e.Clock, 2)
	return []controller.Controller{c}, err
}

func TestScripts(t *testing.T) { controllertest.Script(t, build) }

func TestFaults(t *testing.T) { controllertest.Faults(t, build, 2, 3) }
