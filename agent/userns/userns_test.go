package userns

import (
	"os"
	"path/filepath"
	"testing"

	"k8s.io/apimachinery/pkg/types"
)

func newDir(t *testing.T, pods ...string) string {
	dir := t.TempDir()
	for _, p := range pods {
		if err := os.Mkdir(filepath.Join(dir, p), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func mustNew(t *testing.T, dir string) *Allocator {
	t.Helper()
	a, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func mustGet(t *testing.T, a *Allocator, pod types.UID) uint32 {
	t.Helper()
	first, err := a.Of(pod)
	if err != nil {
		t.Fatal(err)
	}
	return first
}

func TestBlocks(t *testing.T) {
	dir := newDir(t, "a", "b", "c")
	alloc := mustNew(t, dir)
	a, b := mustGet(t, alloc, "a"), mustGet(t, alloc, "b")
	if a != Size || b != 2*Size {
		t.Errorf("blocks begin at %d and %d", a, b)
	}
	if again := mustGet(t, alloc, "a"); again != a {
		t.Errorf("the second time it is %d, want %d", again, a)
	}
	// An agent that starts again knows what pods have.
	alloc = mustNew(t, dir)
	if c := mustGet(t, alloc, "c"); c != 3*Size {
		t.Errorf("a third pod's block begins at %d", c)
	}
	if again := mustGet(t, alloc, "b"); again != b {
		t.Errorf("after a restart it is %d, want %d", again, b)
	}
	if err := alloc.Release("a"); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "b")); err != nil {
		t.Fatal(err)
	}
	if err := alloc.Release("b"); err != nil {
		t.Errorf("release what is removed: %v", err)
	}
	if a = mustGet(t, alloc, "a"); a != Size {
		t.Errorf("a released block is not given again: %d", a)
	}
}

func TestTornFile(t *testing.T) {
	dir := newDir(t, "a")
	for _, text := range []string{"", "0", "70000", "x"} {
		if err := os.WriteFile(filepath.Join(dir, "a", fileName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if first := mustGet(t, mustNew(t, dir), "a"); first != Size {
			t.Errorf("after %q: %d", text, first)
		}
	}
}

func TestNoDirectory(t *testing.T) {
	a := mustNew(t, filepath.Join(t.TempDir(), "none"))
	if _, err := a.Of("a"); err == nil {
		t.Error("a block was given without a place to remember it")
	}
	if err := a.Release("a"); err != nil {
		t.Errorf("release nothing: %v", err)
	}
}
