package traffic

import (
	"net/netip"
	"os"
	"testing"
)

func TestPath(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root for network namespaces")
	}
	node, err := newBox()
	if err != nil {
		t.Fatal(err)
	}
	defer node.close()
	p, err := New(node.do)
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort("10.42.200.7:8080")
	err = p.Do(func(c Client) error {
		if _, err := c.Connect(at); err != nil {
			t.Error(err)
		}
		if got, err := c.Ask(at); got != at.Addr() || err != nil {
			t.Errorf("%s says that it is %s, %v", at.Addr(), got, err)
		}
		if took, err := c.Send(at, 3*chunk/2); took == 0 || err != nil {
			t.Errorf("sent in %s, %v", took, err)
		}
		if got, err := c.Ask(netip.MustParseAddrPort("10.43.0.1:80")); err == nil {
			t.Errorf("%s answers where nobody is", got)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}
