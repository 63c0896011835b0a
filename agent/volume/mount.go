package volume

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Mounter changes the mounts of the node.
type Mounter interface {
	Mount(source, target, fstype string, flags uintptr, data string) error
	Unmount(target string) error
	// IsMount tells whether dir is a mount point; a missing one is not.
	IsMount(dir string) (bool, error)
	// Below returns the mount points at or below dir, deepest last.
	Below(dir string) ([]string, error)
}

// Kernel is the Mounter of the real node.
type Kernel struct{}

// Mount implements Mounter. What is in memory stays there, where the kernel can
// keep it from being swapped out: it may be secret.
func (Kernel) Mount(source, target, fstype string, flags uintptr, data string) error {
	if fstype == "tmpfs" && canKeepFromSwap() {
		data = strings.TrimPrefix(data+",noswap", ",")
	}
	if err := unix.Mount(source, target, fstype, flags, data); err != nil {
		return fmt.Errorf("mount %s at %s: %w", source, target, err)
	}
	return nil
}

// canKeepFromSwap tells whether tmpfs knows the option noswap (Linux 6.4).
var canKeepFromSwap = sync.OnceValue(func() bool {
	fd, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return unix.FsconfigSetFlag(fd, "noswap") == nil
})

// Unmount implements Mounter. A busy mount is detached: it goes when its last
// user does.
func (Kernel) Unmount(target string) error {
	err := unix.Unmount(target, unix.UMOUNT_NOFOLLOW)
	if errors.Is(err, unix.EBUSY) {
		err = unix.Unmount(target, unix.UMOUNT_NOFOLLOW|unix.MNT_DETACH)
	}
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount %s: %w", target, err)
	}
	return nil
}

// IsMount implements Mounter.
func (k Kernel) IsMount(dir string) (bool, error) {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, dir, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, 0, &st)
	switch {
	case errors.Is(err, unix.ENOENT):
		return false, nil
	case err == nil && st.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT != 0:
		return st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0, nil
	}
	// Kernels before 5.8 do not tell.
	points, err := k.Below(dir)
	return slices.Contains(points, filepath.Clean(dir)), err
}

// Below implements Mounter.
func (Kernel) Below(dir string) ([]string, error) {
	infos, err := mountinfo.GetMounts(mountinfo.PrefixFilter(filepath.Clean(dir)))
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	points := make([]string, len(infos))
	for i, m := range infos {
		points[i] = m.Mountpoint
	}
	return points, nil
}

// unmountBelow unmounts everything at or below dir, the last mounted first.
func unmountBelow(m Mounter, dir string) error {
	points, err := m.Below(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, point := range slices.Backward(points) {
		errs = append(errs, m.Unmount(point))
	}
	return errors.Join(errs...)
}

// tmpfs mounts one at dir unless there is one.
func tmpfs(m Mounter, dir, options string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if is, err := m.IsMount(dir); is || err != nil {
		return err
	}
	return m.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, options)
}
