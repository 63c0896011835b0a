package volume

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"

	"skiff/agent/container"
)

// SubPath implements container.Volumes. What sub leads to is opened without ever
// leaving the volume, and bind-mounted by that open file, so that nobody can
// exchange it between the check and the mount.
func (m *Manager) SubPath(pod *corev1.Pod, volume container.Volume, name, containerName string, index int, sub string) (string, error) {
	if filepath.IsAbs(sub) {
		return "", fmt.Errorf("error SubPath `%s` must not be an absolute path", sub)
	}
	if !filepath.IsLocal(sub) {
		return "", fmt.Errorf("unable to provision SubPath `%s`: must not contain '..'", sub)
	}
	// Details stay in the log: they would tell the pod about the node's files.
	fd, err := openWithin(volume.Path, sub)
	if errors.Is(err, unix.ENOENT) {
		if err := makeWithin(volume.Path, sub); err != nil {
			m.cfg.Log.Error("cannot make subPath", "pod", pod.Namespace+"/"+pod.Name, "volume", name, "err", err)
			return "", fmt.Errorf("failed to create subPath directory for volumeMount %q of container %q", name, containerName)
		}
		fd, err = openWithin(volume.Path, sub)
	}
	if err != nil {
		m.cfg.Log.Error("cannot open subPath", "pod", pod.Namespace+"/"+pod.Name, "volume", name, "err", err)
		return "", fmt.Errorf("failed to prepare subPath for volumeMount %q of container %q", name, containerName)
	}
	defer unix.Close(fd)
	target := filepath.Join(m.dir(pod.UID), "volume-subpaths", name, containerName, strconv.Itoa(index))
	if err := m.bind(fd, target); err != nil {
		m.cfg.Log.Error("cannot mount subPath", "pod", pod.Namespace+"/"+pod.Name, "volume", name, "err", err)
		return "", fmt.Errorf("failed to prepare subPath for volumeMount %q of container %q", name, containerName)
	}
	return target, nil
}

// bind mounts the open file or directory at target, in place of what an earlier
// start of the container has there.
func (m *Manager) bind(fd int, target string) error {
	var want, have unix.Stat_t
	if err := unix.Fstat(fd, &want); err != nil {
		return err
	}
	if is, err := m.cfg.Mounter.IsMount(target); err != nil {
		return err
	} else if is {
		if unix.Stat(target, &have) == nil && have.Dev == want.Dev && have.Ino == want.Ino {
			return nil
		}
		if err := m.cfg.Mounter.Unmount(target); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(target); err != nil {
		return err
	}
	if want.Mode&unix.S_IFMT == unix.S_IFDIR {
		if err := os.MkdirAll(target, 0o750); err != nil {
			return err
		}
	} else {
		if err := os.MkdirAll(filepath.Dir(target), 0o750); err != nil {
			return err
		}
		f, err := os.OpenFile(target, os.O_CREATE|os.O_WRONLY, 0o640)
		if err != nil {
			return err
		}
		f.Close()
	}
	return m.cfg.Mounter.Mount("/proc/self/fd/"+strconv.Itoa(fd), target, "", unix.MS_BIND|unix.MS_REC, "")
}

// openWithin opens a path below root without following links out of it.
func openWithin(root, sub string) (int, error) {
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(dir)
	fd, err := unix.Openat2(dir, sub, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if !errors.Is(err, unix.ENOSYS) {
		return fd, err
	}
	return openWithinOld(root, sub)
}

// openWithinOld is for kernels before 5.6.
func openWithinOld(root, sub string) (int, error) {
	r, err := os.OpenRoot(root)
	if err != nil {
		return -1, err
	}
	defer r.Close()
	f, err := r.OpenFile(sub, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, err
	}
	defer f.Close()
	return unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
}

// makeWithin makes a directory below root, with root's mode and group.
func makeWithin(root, sub string) error {
	info, err := os.Stat(root)
	if err != nil {
		return err
	}
	r, err := os.OpenRoot(root)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := r.MkdirAll(sub, info.Mode().Perm()); err != nil {
		return err
	}
	return r.Chmod(sub, info.Mode())
}
