package containerd_test

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/moby/sys/mountinfo"

	"skiff/runtime/containerd"
)

func init() { steps["serve"] = stepServe }

// TestPurgeTouchesNothingElse runs two instances side by side, and purges one.
func TestPurgeTouchesNothingElse(t *testing.T) {
	a, b := newBox(t), newBox(t)
	a.step(t, "serve")
	b.step(t, "serve")
	if err := a.purge(); err != nil {
		t.Fatal(err)
	}
	var gone, stays found
	a.load(t, "found", &gone)
	b.load(t, "found", &stays)
	if got := b.fetch(t, stays.IP); got != "served\n" {
		t.Errorf("the other instance serves %q after the purge", got)
	}
	for what, left := range map[string][]string{
		"processes":   processesOf(t, a.in.ID()),
		"mounts":      mountsOf(t, a.in.RunDir(), a.dataDir),
		"cgroups":     glob(t, "/sys/fs/cgroup/*"+a.in.CgroupParent(), "/sys/fs/cgroup"+a.in.CgroupParent()),
		"directories": glob(t, a.in.RunDir(), containerd.LayoutFor(a.dataDir).Root),
		"CNI results": glob(t, "/var/lib/cni/results/"+a.in.Network()+"-*"),
		"links":       a.linksLeft(t),
	} {
		if len(left) > 0 {
			t.Errorf("%s left after the purge: %v", what, left)
		}
	}
	if err := a.purge(); err != nil {
		t.Errorf("second purge: %v", err)
	}
}

// stepServe leaves a pod that serves on port 8080.
func stepServe(t *testing.T, b *box) {
	d := b.daemon(t)
	if _, err := d.ImportImages(testContext(t), bytes.NewReader(dockerArchive(t, "busybox:test"))); err != nil {
		t.Fatal(err)
	}
	p := b.runPod(t, d, b.podConfig("web"))
	p.start(t, d, "c", nil, "sh", "-c", "mkdir -p /var/www; echo served > /var/www/index.html; exec httpd -f -p 8080 -h /var/www")
	f := found{Pod: p.ID, IP: podIP(t, d, p.ID)}
	eventually(t, "an answer", func() bool { return fetch(f.IP+":8080") == "served\n" })
	b.save(t, "found", f)
}

func (b *box) fetch(t *testing.T, ip string) (body string) {
	t.Helper()
	// A connection is made in the namespace of the thread; so no HTTP client, which dials elsewhere.
	err := b.netns.Do(func(ns.NetNS) error {
		c, err := net.Dial("tcp", ip+":8080")
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := c.Write([]byte("GET /index.html HTTP/1.0\r\n\r\n")); err != nil {
			return err
		}
		var out bytes.Buffer
		_, err = out.ReadFrom(c)
		_, body, _ = strings.Cut(out.String(), "\r\n\r\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func (b *box) linksLeft(t *testing.T) (names []string) {
	t.Helper()
	if err := b.netns.Do(func(ns.NetNS) error {
		links, err := net.Interfaces()
		for _, l := range links {
			if l.Name != "lo" {
				names = append(names, l.Name)
			}
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return names
}

func processesOf(t *testing.T, id string) (found []string) {
	t.Helper()
	for _, f := range glob(t, "/proc/[0-9]*/cmdline") {
		data, _ := os.ReadFile(f)
		if bytes.Contains(data, []byte("/run/skiff/"+id)) {
			found = append(found, string(data))
		}
	}
	return found
}

func mountsOf(t *testing.T, dirs ...string) (found []string) {
	t.Helper()
	infos, err := mountinfo.GetMounts(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range infos {
		for _, d := range dirs {
			if strings.HasPrefix(i.Mountpoint, d+"/") {
				found = append(found, i.Mountpoint)
			}
		}
	}
	return found
}

func glob(t *testing.T, patterns ...string) (found []string) {
	t.Helper()
	for _, p := range patterns {
		m, err := filepath.Glob(p)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, m...)
	}
	return found
}
