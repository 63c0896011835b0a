package legacytoken_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"skiff/server/controller"
	"skiff/server/controller/controllertest"
	"skiff/server/controllers/legacytoken"
)

func build(e controllertest.Env) ([]controller.Controller, error) {
	return []controller.Controller{legacytoken.New(e.Client, e.Informers, legacytoken.Config{
		Sign: func(sa *corev1.ServiceAccount, s *corev1.Secret) (string, error) {
			return sa.Name + " in " + s.Name, nil
		},
		CA: func() []byte { return []byte("PEM") },
	})}, nil
}

func TestScripts(t *testing.T) { controllertest.Script(t, build) }

func TestFaults(t *testing.T) { controllertest.Faults(t, build, 2, 3) }
