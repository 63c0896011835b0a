package nodeipam_test

import (
	"net/netip"
	"testing"

	"skiff/server/controller"
	"skiff/server/controller/controllertest"
	"skiff/server/controllers/nodeipam"
)

func build(e controllertest.Env) ([]controller.Controller, error) {
	c, err := nodeipam.New(e.Client, e.Informers, e.Events, nodeipam.Config{
		ClusterCIDRs: []netip.Prefix{netip.MustParsePrefix("10.42.0.0/23"), netip.MustParsePrefix("fd42::/56")}, MaskSize4: 24, MaskSize6: 64,
	})
	return []controller.Controller{c}, err
}

func TestScripts(t *testing.T) { controllertest.Script(t, build) }

func TestFaults(t *testing.T) { controllertest.Faults(t, build, 2, 3) }

func TestRefusesBadSizes(t *testing.T) {
	for _, size := range []int{8, 33} {
		_, err := nodeipam.New(nil, controllertest.NewEnv(t).Informers, nil, nodeipam.Config{
			ClusterCIDRs: []netip.Prefix{netip.MustParsePrefix("10.42.0.0/16")}, MaskSize4: size,
		})
		if err == nil {
			t.Errorf("a block of /%d in a /16 was accepted", size)
		}
	}
}
