package nodeapproval_test

import (
	"testing"

	"skiff/server/controller"
	"skiff/server/controller/controllertest"
	"skiff/server/controllers/nodeapproval"
)

func buildKeys(e controllertest.Env) ([]controller.Controller, error) {
	return []controller.Controller{nodeapproval.NewKeys(e.Client, e.Informers, e.Clock)}, nil
}

func TestKeysScripts(t *testing.T) { controllertest.Script(t, buildKeys) }

func TestKeysFaults(t *testing.T) { controllertest.Faults(t, buildKeys, 2, 3) }
