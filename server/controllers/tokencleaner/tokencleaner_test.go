package tokencleaner_test

import (
	"testing"

	"skiff/server/controller"
	"skiff/server/controller/controllertest"
	"skiff/server/controllers/tokencleaner"
)

func build(e controllertest.Env) ([]controller.Controller, error) {
	return []controller.Controller{tokencleaner.New(e.Client, e.Clock)}, nil
}

func TestScripts(t *testing.T) { controllertest.Script(t, build) }

func TestFaults(t *testing.T) { controllertest.Faults(t, build, 2, 3) }
