package volume_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"skiff/agent/volume"
)

// inOwnMounts calls fn in a mount namespace of its own, in which nothing is shared.
func inOwnMounts(t *testing.T, fn func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			t.Errorf("new mount namespace: %v", err)
			return
		}
		if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
			t.Errorf("make all mounts private: %v", err)
			return
		}
		fn()
	}()
	<-done
}

func TestMemoryIsMounted(t *testing.T) {
	dir := t.TempDir()
	inOwnMounts(t, func() {
		k := volume.Kernel{}
		for _, options := range []string{"", "size=4096"} {
			if err := k.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID, options); err != nil {
				t.Errorf("with options %q: %v", options, err)
				continue
			}
			if err := k.Unmount(dir); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestShare(t *testing.T) {
	dir := t.TempDir()
	volumeDir := filepath.Join(dir, "v")
	if err := os.Mkdir(volumeDir, 0o755); err != nil {
		t.Fatal(err)
	}
	inOwnMounts(t, func() {
		undo, err := volume.Share(dir)
		if err != nil {
			t.Errorf("share: %v", err)
			return
		}
		k := volume.Kernel{}
		if err := k.Mount("tmpfs", volumeDir, "tmpfs", 0, ""); err != nil {
			t.Error(err)
		}
		again, err := volume.Share(volumeDir)
		if err != nil {
			t.Errorf("share what is shared: %v", err)
		}
		if err := again(); err != nil {
			t.Errorf("undo what did nothing: %v", err)
		}
		if err := undo(); err != nil {
			t.Errorf("undo with a mount below: %v", err)
		}
		if is, err := k.IsMount(dir); !is || err != nil {
			t.Errorf("it was taken away below a mount: %v, %v", is, err)
		}
		if err := k.Unmount(volumeDir); err != nil {
			t.Error(err)
		}
		if err := undo(); err != nil {
			t.Errorf("undo: %v", err)
		}
		if is, err := k.IsMount(dir); is || err != nil {
			t.Errorf("it is still a mount: %v, %v", is, err)
		}
	})
}
