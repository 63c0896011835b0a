package e2e

import (
	"debug/elf"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"testing"

	"skiff/test/e2e/host"
)

// TestMemoryOfTheStart: servers and agents at rest hand back what only their start
// needed, and do not get it back in large pieces with the next page they touch.
func TestMemoryOfTheStart(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.join(t, c.lan, "two")
	for _, h := range []*host.Host{c.node, c.further[0]} {
		eventually(t, h.NodeName+" hands back the memory of its start", func() error {
			if now, peak := memory(t, h.PID(), "VmRSS"), memory(t, h.PID(), "VmHWM"); now > peak*3/4 {
				return fmt.Errorf("%d KiB are resident, and were %d at most", now, peak)
			}
			return nil
		})
		mappedInSmallPieces(t, h.PID())
	}
}

// memory is a field of /proc/PID/status in KiB, see proc_pid_status(5).
func memory(t *testing.T, pid int, field string) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^` + field + `:\s+(\d+) kB$`).FindSubmatch(status)
	if found == nil {
		t.Fatalf("/proc/%d/status has no %s", pid, field)
	}
	kib, err := strconv.Atoi(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kib
}

// mappedInSmallPieces fails the test if the kernel could map a process's executable
// by 2 MiB at a time: it does so where addresses are like the file's offsets.
func mappedInSmallPieces(t *testing.T, pid int) {
	t.Helper()
	const large = 2 << 20
	program, err := elf.Open(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	for _, p := range program.Progs {
		if p.Type == elf.PT_LOAD && (p.Vaddr-p.Off)%large == 0 {
			t.Errorf("offset %#x of the executable is at %#x; is it linked with the Makefile's flags?", p.Off, p.Vaddr)
		}
	}
}
