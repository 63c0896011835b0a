package remote_test

import (
	"net"
	"path/filepath"
	"strings"
	"testing"

	"skiff/runtime/cri/critest"
	"skiff/runtime/cri/fake"
	"skiff/runtime/cri/remote"
)

// TestCRI runs the suite through a socket.
func TestCRI(t *testing.T) {
	rt := fake.New(fake.Options{Images: []string{"busybox"}})
	t.Cleanup(rt.Close)
	socket := filepath.Join(t.TempDir(), "cri.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(rt.Serve(l))
	c, err := remote.Dial("unix://" + socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	critest.Run(t, c, c, critest.Options{Image: "busybox"})
}

func TestDialRefusesWhatIsNoSocket(t *testing.T) {
	for _, endpoint := range []string{"", "tcp://127.0.0.1:1", "relative.sock", "unix://relative"} {
		if _, err := remote.Dial(endpoint); err == nil || !strings.Contains(err.Error(), "unix:///run/runtime.sock") {
			t.Errorf("Dial(%q) = %v, want an error that tells the form", endpoint, err)
		}
	}
}
