package payload

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/klauspost/compress/zstd"
)

// fakeSource embeds the given programs.
func fakeSource(t *testing.T, programs map[string]string) *source {
	t.Helper()
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{}
	m := manifest{}
	for name, content := range programs {
		sum := sha256.Sum256([]byte(content))
		m.Entries = append(m.Entries, Entry{Name: name, SHA256: hex.EncodeToString(sum[:]), Size: int64(len(content)), Stored: name + ".zst"})
		files["f/"+name+".zst"] = &fstest.MapFile{Data: enc.EncodeAll([]byte(content), nil)}
	}
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	files["f/manifest.json"] = &fstest.MapFile{Data: data}
	return newSource(files, "f")
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func inodeOf(t *testing.T, path string) uint64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	ino, _ := inode(info)
	return ino
}

func TestStage(t *testing.T) {
	s := fakeSource(t, map[string]string{"runc": "I am runc", "kubectl": "I am kubectl"})
	bin := t.TempDir()
	dir, err := s.stage(bin, "runc")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "runc")
	if got := read(t, path); got != "I am runc" {
		t.Errorf("staged %q", got)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o755 {
		t.Errorf("mode %s, want 0755", info.Mode())
	}
	if _, err := os.Stat(filepath.Join(dir, "kubectl")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("kubectl is staged without being asked for: %v", err)
	}
	first := inodeOf(t, path)
	if again, err := s.stage(bin, "runc", "kubectl"); err != nil || again != dir {
		t.Errorf("second stage: %s, %v; want %s", again, err, dir)
	}
	if inodeOf(t, path) != first {
		t.Error("an intact file was written again")
	}
	for what, damage := range map[string]func() error{
		"overwritten":  func() error { return os.WriteFile(path, []byte("I am NOT!"), 0o755) },
		"truncated":    func() error { return os.Truncate(path, 3) },
		"removed":      func() error { return os.Remove(path) },
		"not runnable": func() error { return os.Chmod(path, 0o600) },
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.stage(bin, "runc"); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || read(t, path) != "I am runc" || info.Mode().Perm() != 0o755 {
			t.Errorf("%s file is not replaced: %q, %v", what, read(t, path), err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".runc-*")); len(left) > 0 {
		t.Errorf("temporary files are left: %v", left)
	}
}

// TestStageAfterPowerCut damages a file as a power cut may, of which neither its
// size nor its times tell.
func TestStageAfterPowerCut(t *testing.T) {
	s := fakeSource(t, map[string]string{"runc": "I am runc"})
	bin := t.TempDir()
	dir, err := s.stage(bin, "runc")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "runc")
	restage := func(boot string) (now seen) {
		t.Helper()
		m, err := s.manifest()
		if err != nil {
			t.Fatal(err)
		}
		rec := loadRecord(dir)
		if now, err = look(path, m.Entries[0]); err != nil {
			t.Fatal(err)
		}
		now.Boot = boot
		rec.files["runc"], rec.changed = now, true
		if err := rec.save(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.stage(bin, "runc"); err != nil {
			t.Fatal(err)
		}
		return loadRecord(dir).files["runc"]
	}
	if err := os.WriteFile(path, []byte("I am zero"), 0o755); err != nil {
		t.Fatal(err)
	}
	restage(bootID())
	if got := read(t, path); got != "I am zero" {
		t.Errorf("a file of this boot was hashed: it is %q now", got)
	}
	if now := restage("an earlier one"); read(t, path) != "I am runc" || now.Boot != bootID() {
		t.Errorf("a file of an earlier boot was trusted: it is %q, recorded as %+v", read(t, path), now)
	}
	if now := restage("an earlier one"); now.Boot != "" {
		t.Errorf("a file that is intact after a boot is recorded as %+v, still to be hashed", now)
	}
}

func TestStageInParallel(t *testing.T) {
	s := fakeSource(t, map[string]string{"runc": strings.Repeat("runc", 10000)})
	bin := t.TempDir()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			dir, err := s.stage(bin, "runc")
			if err != nil {
				t.Error(err)
			} else if got := read(t, filepath.Join(dir, "runc")); len(got) != 40000 {
				t.Errorf("incomplete: %d bytes", len(got))
			}
		})
	}
	wg.Wait()
}

func TestDamagedPayload(t *testing.T) {
	s := fakeSource(t, map[string]string{"runc": "I am runc"})
	other := fakeSource(t, map[string]string{"runc": "I am else"})
	swapped := &source{files: other.files, manifest: s.manifest}
	if _, err := swapped.stage(t.TempDir(), "runc"); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("error %v, want one that says damaged", err)
	}
	if _, err := newSource(fstest.MapFS{}, "f").stage(t.TempDir(), "runc"); !errors.Is(err, ErrMissing) {
		t.Errorf("without payload: error %v, want ErrMissing", err)
	}
}

func TestPrune(t *testing.T) {
	bin := t.TempDir()
	for _, d := range []string{"current", "used", "old"} {
		if err := os.Mkdir(filepath.Join(bin, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	err := Prune(bin, filepath.Join(bin, "current"), func(dir string) bool { return filepath.Base(dir) == "used" })
	if err != nil {
		t.Fatal(err)
	}
	left, _ := filepath.Glob(filepath.Join(bin, "*"))
	if len(left) != 2 || filepath.Base(left[0]) != "current" || filepath.Base(left[1]) != "used" {
		t.Errorf("left %v, want current and used", left)
	}
}

func TestPauseImageIsReproducible(t *testing.T) {
	a, err := buildPause([]byte("program"), "arm64")
	if err != nil {
		t.Fatal(err)
	}
	b, _ := buildPause([]byte("program"), "arm64")
	c, _ := buildPause([]byte("another"), "arm64")
	if !bytes.Equal(a.tar, b.tar) || a.Digest != b.Digest || a.Name != b.Name {
		t.Error("the same program gives different images")
	}
	if a.Digest == c.Digest || a.Name == c.Name {
		t.Error("different programs give the same image")
	}
}
