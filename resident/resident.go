// Package resident keeps a process's memory near what it needs. Servers and agents
// call Settle when they are ready, which hands back to the kernel what only the start
// needed. Servers also call Pace, which does so after every burst of work.
package resident

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// Release frees what the heap holds unused, and lets go of the executable's own
// pages: packages that initialize themselves and types that register themselves
// touch most of it, once. What is needed again comes back by itself, from the
// page cache, with a fault per 64 KiB; the rest is the first that a kernel short
// of memory takes. See docs/adr/0009-memory-of-the-start.md.
func Release() error {
	// The collector reads the executable's tables, so it goes first.
	debug.FreeOSMemory()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return err
	}
	own, err := executable(string(maps), reflect.ValueOf(Release).Pointer())
	if err != nil {
		return fmt.Errorf("read /proc/self/maps: %w", err)
	}
	for _, m := range own {
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, m.from, m.to-m.from, unix.MADV_DONTNEED); errno != 0 {
			return os.NewSyscallError("madvise", errno)
		}
	}
	return nil
}

// mapping is a line of /proc/PID/maps, see proc_pid_maps(5).
type mapping struct {
	from, to uintptr
	perms    string
	// file is its device and inode; its name may be another's by now.
	file string
}

// executable returns the mappings of the file that holds the code at pc, but for
// those that can be written: they hold the only copy of variables.
func executable(maps string, pc uintptr) ([]mapping, error) {
	var all, own []mapping
	file := ""
	for line := range strings.Lines(maps) {
		m, err := parse(line)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", strings.TrimSpace(line), err)
		}
		if m.from <= pc && pc < m.to {
			file = m.file
		}
		all = append(all, m)
	}
	if file == "" {
		return nil, errors.New("this program's code is in no file")
	}
	for _, m := range all {
		if m.file == file && !strings.Contains(m.perms, "w") {
			own = append(own, m)
		}
	}
	return own, nil
}

func parse(line string) (m mapping, err error) {
	var offset, device, inode string
	if _, err := fmt.Sscanf(line, "%x-%x %s %s %s %s", &m.from, &m.to, &m.perms, &offset, &device, &inode); err != nil {
		return m, err
	}
	if inode != "0" {
		m.file = device + " " + inode
	}
	return m, nil
}
