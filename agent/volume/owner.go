package volume

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	corev1 "k8s.io/api/core/v1"
)

func fsGroup(pod *corev1.Pod) *int64 {
	if sc := pod.Spec.SecurityContext; sc != nil {
		return sc.FSGroup
	}
	return nil
}

func policy(pod *corev1.Pod) corev1.PodFSGroupChangePolicy {
	if sc := pod.Spec.SecurityContext; sc != nil && sc.FSGroupChangePolicy != nil {
		return *sc.FSGroupChangePolicy
	}
	return corev1.FSGroupChangeAlways
}

// setOwner gives everything at and below dir to a group, readable (and for
// volumes that are not read-only writable) for it; new files inherit the group.
func setOwner(dir string, group *int64, readOnly bool, change corev1.PodFSGroupChangePolicy) error {
	if group == nil {
		return nil
	}
	if change == corev1.FSGroupChangeOnRootMismatch {
		if info, err := os.Stat(dir); err == nil && info.Sys().(*syscall.Stat_t).Gid == uint32(*group) && info.Mode()&wantMode(info, readOnly) == wantMode(info, readOnly) {
			return nil
		}
	}
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.Type()&fs.ModeSymlink != 0 {
			return os.Lchown(path, -1, int(*group))
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if err := os.Lchown(path, -1, int(*group)); err != nil {
			return err
		}
		return os.Chmod(path, info.Mode()|wantMode(info, readOnly))
	})
}

func wantMode(info fs.FileInfo, readOnly bool) fs.FileMode {
	mode := fs.FileMode(0o660)
	if readOnly {
		mode = 0o440
	}
	if info.IsDir() {
		mode |= fs.ModeSetgid | 0o110
	}
	return mode
}

// fsUser is the user that all containers of the pod run as, if it is one and the
// same; the tokens belong to it then.
func fsUser(pod *corev1.Pod) *int64 {
	var user *int64
	first := true
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			var u *int64
			if sc := list[i].SecurityContext; sc != nil {
				u = sc.RunAsUser
			}
			if u == nil && pod.Spec.SecurityContext != nil {
				u = pod.Spec.SecurityContext.RunAsUser
			}
			if u == nil || !first && *u != *user {
				return nil
			}
			user, first = u, false
		}
	}
	return user
}
