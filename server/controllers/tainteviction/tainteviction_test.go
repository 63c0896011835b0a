package tainteviction_test

import (
	"testing"

	"skiff/server/controller"
	"skiff/server/controller/controllertest"
	"skiff/server/controllers/tainteviction"
)

func build(e controllertest.Env) ([]controller.Controller, error) {
	c, err := tainteviction.New(e.Client, e.Informers, e.Events, e.Clock)
	return []controller.Controller{c}, err
}

func TestScripts(t *testing.T) { controllertest.Script(t, build) }

func TestFaults(t *testing.T) { controllertest.Faults(t, build, 2, 3) }
