package check

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"skiff/datadir"
)

// Free space in MiB: below the first a start fails, below the second there is no
// room for images.
const (
	startMiB  = 64
	imagesMiB = 500
)

// leastInodes is about what a small image has files.
const leastInodes = 10000

// dataDir looks at the folder, or at the nearest one above it that exists.
func (b Box) dataDir(context.Context) Result {
	err := datadir.Usable(b.DataDir, b.Role)
	var newer *datadir.NewerError
	var role *datadir.RoleError
	switch {
	case errors.As(err, &role):
		return fail(fmt.Sprintf("%s is that of a skiff %s", b.DataDir, role.Is), "choose another --data-dir, or remove what is in it with `skiff uninstall`")
	case errors.As(err, &newer):
		return fail(b.DataDir+" is of a newer skiff, "+newer.Marker.Skiff, "start that version or a later one, or choose another --data-dir")
	case err != nil:
		return fail(err.Error(), "mend it, or choose another --data-dir")
	}
	dir := existing(b.DataDir)
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return fail(err.Error(), "choose another --data-dir")
	}
	free := fs.Bavail * uint64(fs.Bsize) >> 20
	found := fmt.Sprintf("%d MiB free in %s", free, dir)
	switch {
	case fs.Flags&unix.ST_RDONLY != 0:
		return fail(dir+" is read-only", "choose another --data-dir")
	case free < startMiB:
		return fail(found, fmt.Sprintf("make room, a start needs %d MiB", startMiB))
	case free < imagesMiB:
		return warn(found, "make room, images alone need some hundred MiB")
	case fs.Files > 0 && fs.Ffree < leastInodes:
		return warn(fmt.Sprintf("%d inodes free in %s", fs.Ffree, dir), "remove files, images have many")
	}
	return ok("%s", found)
}

// existing is path, or the nearest folder above it that exists.
func existing(path string) string {
	for path != "/" {
		if _, err := os.Stat(path); err == nil {
			break
		}
		path = filepath.Dir(path)
	}
	return path
}

// Magic numbers of file systems that golang.org/x/sys/unix does not know.
const (
	exfatMagic = 0x2011bab0
	ntfsMagic  = 0x5346544e
	ntfs3Magic = 0x7366746e
	fuseMagic  = 0x65735546
)

// fileSystem tells whether the file system below the data folder can carry the
// store, and containers' layers: overlayfs needs attributes that not all have.
func (b Box) fileSystem(context.Context) Result {
	dir := existing(b.DataDir)
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return fail(err.Error(), "choose another --data-dir")
	}
	const local = "choose a folder on ext4, xfs, btrfs or f2fs"
	switch uint32(fs.Type) {
	case unix.MSDOS_SUPER_MAGIC, exfatMagic, ntfsMagic, ntfs3Magic:
		return fail(dir+" is on a file system of Windows", "it has no Unix permissions, "+local)
	case unix.NFS_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.V9FS_MAGIC:
		return warn(dir+" is on a network", "locks and fsync of a network disk are not to be trusted, "+local)
	case unix.TMPFS_MAGIC, unix.RAMFS_MAGIC:
		return warn(dir+" is in memory", "nothing survives a reboot, "+local)
	case unix.OVERLAYFS_SUPER_MAGIC:
		return warn(dir+" is on overlayfs", "every container gets a full copy of its image; in a container, mount a volume there")
	case unix.ECRYPTFS_SUPER_MAGIC, fuseMagic:
		return warn(dir+" is on a layered file system", "every container may get a full copy of its image, "+local)
	}
	return ok("%s", fileSystemName(uint32(fs.Type)))
}

func fileSystemName(magic uint32) string {
	names := map[uint32]string{
		unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs", unix.F2FS_SUPER_MAGIC: "f2fs",
	}
	if name, ok := names[magic]; ok {
		return name
	}
	return fmt.Sprintf("of type %#x", magic)
}
