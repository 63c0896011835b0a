package datadir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Owner is the process that works in a data folder.
type Owner struct {
	PID  int
	Role Role
	dir  string
}

func (o *Owner) String() string { return fmt.Sprintf("process %d (skiff %s)", o.PID, o.Role) }

// OwnerOf returns the process that works in a data folder, nil if there is none
// or it cannot be seen from here. It is the one that the lock file names, if that
// has this very file open: a process that was given the number later has not.
func OwnerOf(dir string) (*Owner, error) {
	b, err := os.ReadFile(lockFile(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	o := &Owner{dir: dir}
	if _, err := fmt.Sscan(string(b), &o.PID, &o.Role); err != nil {
		return nil, nil // being written
	}
	holds, err := o.holds()
	if err != nil || !holds {
		return nil, err
	}
	return o, nil
}

// holds tells whether the process has the lock file open.
func (o *Owner) holds() (bool, error) {
	want, err := os.Stat(lockFile(o.dir))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	descriptors := filepath.Join("/proc", strconv.Itoa(o.PID), "fd")
	names, err := os.ReadDir(descriptors)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at %s: %w", o, err)
	}
	for _, n := range names {
		if have, err := os.Stat(filepath.Join(descriptors, n.Name())); err == nil && os.SameFile(want, have) {
			return true, nil
		}
	}
	return false, nil
}

// Unit returns the systemd unit whose main process the owner is, "" if it is
// none. A unit may start it again.
func (o *Owner) Unit() string {
	proc := filepath.Join("/proc", strconv.Itoa(o.PID))
	environ, err := os.ReadFile(filepath.Join(proc, "environ"))
	if err != nil {
		return ""
	}
	cgroups, err := os.ReadFile(filepath.Join(proc, "cgroup"))
	if err != nil {
		return ""
	}
	return unitOf(o.PID, environ, cgroups)
}

// unitOf reads it from a process's environment, which names the unit's main
// process, and its cgroups. Those alone would not do: whatever a shell of a
// service starts is in the service's cgroup.
func unitOf(pid int, environ, cgroups []byte) string {
	if !hasVariable(environ, "SYSTEMD_EXEC_PID="+strconv.Itoa(pid)) {
		return ""
	}
	for line := range strings.Lines(string(cgroups)) {
		if unit := filepath.Base(strings.TrimSpace(line)); strings.HasSuffix(unit, ".service") {
			return unit
		}
	}
	return ""
}

func hasVariable(environ []byte, variable string) bool {
	for v := range bytes.SplitSeq(environ, []byte{0}) {
		if string(v) == variable {
			return true
		}
	}
	return false
}

// Stop sends SIGTERM to the owner and waits until it has gone or ctx ends. What
// does not hold the folder any more, or never served from it, is left alone.
func (o *Owner) Stop(ctx context.Context) error {
	if o.Role != Server && o.Role != Agent {
		return fmt.Errorf("%s is in use by %s, wait until it has ended", o.dir, o)
	}
	// The descriptor stays the process's even when its number is given to
	// another; so it must be had before the process is looked at again.
	fd, err := unix.PidfdOpen(o.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("stop %s: %w", o, err)
	}
	defer unix.Close(fd)
	if holds, err := o.holds(); err != nil || !holds {
		return err
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGTERM, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("stop %s: %w", o, err)
	}
	for {
		gone, err := waitFor(fd, 100*time.Millisecond)
		if err != nil {
			return fmt.Errorf("wait for the end of %s: %w", o, err)
		}
		if gone {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s does not end, end it first: %w", o, ctx.Err())
		}
	}
}

// waitFor tells whether the process of a descriptor has ended, within a time.
func waitFor(pidfd int, most time.Duration) (bool, error) {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, int(most.Milliseconds()))
	if errors.Is(err, unix.EINTR) {
		return false, nil
	}
	return n > 0, err
}
