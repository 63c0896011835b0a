package instance

import (
	"os"
	"path/filepath"
	"testing"
)

func TestNames(t *testing.T) {
	def := Of(DefaultDataDir)
	if def.Bridge() != "skiff0" || def.CgroupParent() != "/kubepods" || def.Table("x") != "skiff-x" || def.Network() != "skiff" {
		t.Errorf("default instance: %s, %s, %s, %s", def.Bridge(), def.CgroupParent(), def.Table("x"), def.Network())
	}
	a, b := Of("/srv/a"), Of("/srv/b")
	for name, f := range map[string]func(Instance) string{
		"ID": Instance.ID, "RunDir": Instance.RunDir, "Bridge": Instance.Bridge, "Overlay": Instance.Overlay, "Network": Instance.Network, "CgroupParent": Instance.CgroupParent,
	} {
		if f(a) == f(b) || f(a) == f(def) {
			t.Errorf("%s is the same for different data directories: %s, %s, %s", name, f(a), f(b), f(def))
		}
	}
	if n := len(a.Overlay()); n > 15 {
		t.Errorf("overlay's link name %s has %d bytes, a link's name at most 15", a.Overlay(), n)
	}
	if n := len(a.Bridge()); n > 15 {
		t.Errorf("bridge name %s has %d bytes, a link's name at most 15", a.Bridge(), n)
	}
}

func TestSameDirectorySameInstance(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for _, other := range []string{link, ".", dir + "/", dir + "/x/.."} {
		if Of(other).ID() != Of(dir).ID() {
			t.Errorf("%s is another instance than %s", other, dir)
		}
	}
}
