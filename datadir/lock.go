package datadir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Role says what a process does in a data folder.
type Role string

// The roles. Only those that serve are ever told to stop.
const (
	Server    Role = "server"
	Agent     Role = "agent"
	Uninstall Role = "uninstall"
)

func lockFile(dir string) string { return filepath.Join(dir, "lock") }

// record is the text of a lock file. Its length never changes: on a full disk it
// can be written over, but not made anew.
func record(pid int, as Role) []byte { return fmt.Appendf(nil, "%-10d %-12s\n", pid, as) }

// Lock takes the lock of a folder that is there, and nothing more: its marker is
// not looked at. The lock ends when the file is closed, or with the process. It
// returns an InUseError if another process has it.
func Lock(dir string, as Role) (*os.File, error) {
	f, err := os.OpenFile(lockFile(dir), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = inUse(dir)
	}
	if err == nil {
		_, err = f.WriteAt(record(os.Getpid(), as), 0)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// InUseError tells that another process works in a data folder.
type InUseError struct {
	Dir string
	// Owner is nil if the process cannot be seen from here.
	Owner *Owner
}

func (e *InUseError) Error() string {
	if e.Owner == nil {
		return fmt.Sprintf("%s is in use by a process that cannot be seen from here, maybe in a container: stop it, or choose another folder", e.Dir)
	}
	return fmt.Sprintf("%s is in use by %s: stop it, or choose another folder", e.Dir, e.Owner)
}

func inUse(dir string) error {
	owner, err := OwnerOf(dir)
	if err != nil {
		owner = nil
	}
	return &InUseError{Dir: dir, Owner: owner}
}
