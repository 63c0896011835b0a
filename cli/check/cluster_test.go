package check

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"skiff/proxy/overlay"
	"skiff/runtime/instance"
)

func TestServer(t *testing.T) {
	for name, tc := range map[string]struct {
		off  string
		err  error
		want Verdict
		text string // in what was found
	}{
		"answers":      {want: OK, text: "answers"},
		"away":         {err: errors.New("connection refused"), want: Fail, text: "connection refused"},
		"another time": {off: "3 hours behind", want: Warn, text: "this box's clock is 3 hours behind"},
	} {
		b := Box{Server: func(context.Context) (string, error) { return tc.off, tc.err }}
		if r := b.server(t.Context()); r.Verdict != tc.want || !strings.Contains(r.Found, tc.text) {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// TestOverlay: the port of an overlay may be taken by a link of the kernel, and
// not by a program.
func TestOverlay(t *testing.T) {
	for _, mode := range []overlay.Mode{overlay.HostGW, overlay.None} {
		if r := (Box{Overlay: mode}).overlay(t.Context()); r.Verdict != OK || !strings.HasPrefix(r.Found, string(mode)) {
			t.Errorf("%s: %+v", mode, r)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	b := Box{DataDir: t.TempDir(), Overlay: overlay.VXLAN}
	err := inScratchNamespace(func() error {
		if r := b.overlay(t.Context()); r.Verdict != OK || r.Found != "vxlan, 8472/udp" {
			t.Errorf("a free port: %+v", r)
		}
		l, err := net.ListenPacket("udp4", ":8472")
		if err != nil {
			return err
		}
		if r := b.overlay(t.Context()); r.Verdict != Warn || !strings.HasPrefix(r.Found, "8472/udp is in use by ") {
			t.Errorf("a program's port: %+v", r)
		}
		if err := l.Close(); err != nil {
			return err
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name = instance.Of(b.DataDir).Overlay()
		link := &netlink.Vxlan{LinkAttrs: attrs, VxlanId: overlay.VNI, Port: overlay.Port}
		if err := netlink.LinkAdd(link); err != nil {
			return err
		}
		if err := netlink.LinkSetUp(link); err != nil {
			return err
		}
		if r := b.overlay(t.Context()); r.Verdict != OK {
			t.Errorf("the port of the folder's own link: %+v", r)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
