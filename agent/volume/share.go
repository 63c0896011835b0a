package volume

import (
	"fmt"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Share makes what is mounted below dir, later, appear in the containers that
// mount a directory from there with propagation, and the other way round. Where the
// system does not do so already, as those without systemd, dir becomes a mount
// of its own; undo takes that away again, unless something is mounted below.
func Share(dir string) (undo func() error, err error) {
	nothing := func() error { return nil }
	// From the root of the file system to dir itself.
	mounts, err := mountinfo.GetMounts(mountinfo.ParentsFilter(dir))
	if err != nil || len(mounts) == 0 {
		return nothing, fmt.Errorf("find the mount of %s: %w", dir, err)
	}
	at := deepest(mounts)
	if strings.Contains(" "+at.Optional, " shared:") {
		return nothing, nil
	}
	undo = nothing
	if at.Mountpoint != dir {
		if err := unix.Mount(dir, dir, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return nothing, fmt.Errorf("mount %s on itself: %w", dir, err)
		}
		undo = func() error { return unshare(dir) }
	}
	if err := unix.Mount("", dir, "", unix.MS_SHARED|unix.MS_REC, ""); err != nil {
		return undo, fmt.Errorf("share the mounts below %s: %w", dir, err)
	}
	return undo, nil
}

// deepest is the mount that a path is on, given those on the way to it.
func deepest(mounts []*mountinfo.Info) *mountinfo.Info {
	at := mounts[0]
	for _, m := range mounts {
		if len(m.Mountpoint) >= len(at.Mountpoint) {
			at = m // of those at one place, the last one counts
		}
	}
	return at
}

func unshare(dir string) error {
	below, err := Kernel{}.Below(dir)
	if err != nil || len(below) > 1 {
		return err
	}
	if err := unix.Unmount(dir, unix.UMOUNT_NOFOLLOW); err != nil {
		return fmt.Errorf("unmount %s: %w", dir, err)
	}
	return nil
}
