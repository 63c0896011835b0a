package nfttest

import (
	"net/netip"
	"testing"

	"skiff/proxy/service"
)

func TestSuite(t *testing.T) { Run(t, &Fake{}) }

func TestFakeRefusesToRemoveWhatIsNotThere(t *testing.T) {
	f := service.Frontend{Addr: netip.MustParseAddr("10.43.0.1"), Protocol: service.TCP, Port: 80}
	if err := (&Fake{}).Apply([]service.Change{{Frontend: f, Old: &service.Backend{}}}); err == nil {
		t.Error("removing a frontend that is not there succeeded")
	}
}
