package resident

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// An executable that was replaced while it runs, next to a library and a
// database on the same device; on a box of 32 bits, so that all can run this.
const maps = `00400000-02000000 r-xp 00000000 fe:00 1234                               /usr/bin/skiff (deleted)
02000000-05000000 r--p 01c00000 fe:00 1234                               /usr/bin/skiff (deleted)
05000000-05100000 rw-p 04c00000 fe:00 1234                               /usr/bin/skiff (deleted)
05100000-07100000 rw-p 00000000 00:00 0
0c000000-0e800000 rw-p 00000000 00:00 0                              [anon: Go: heap]
40000000-80000000 r--s 00000000 fe:00 99                         /var/lib/skiff/state.db
91000000-91010000 r-xp 00000000 fe:01 1234                       /lib/other.so
bffd0000-bfff1000 r-xp 00000000 00:00 0                          [vdso]
`

func TestExecutable(t *testing.T) {
	for _, tc := range []struct {
		name string
		pc   uintptr
		want []mapping
	}{
		{"code", 0x1000000, []mapping{
			{0x400000, 0x2000000, "r-xp", "fe:00 1234"},
			{0x2000000, 0x5000000, "r--p", "fe:00 1234"},
		}},
		{"another device", 0x91000000, []mapping{{0x91000000, 0x91010000, "r-xp", "fe:01 1234"}}},
		{"no file", 0xbffd0000, nil},
		{"nowhere", 0xbffff000, nil},
	} {
		got, err := executable(maps, tc.pc)
		if !reflect.DeepEqual(got, tc.want) || (err == nil) != (tc.want != nil) {
			t.Errorf("%s: %+v, %v; want %+v", tc.name, got, err, tc.want)
		}
	}
}

func TestExecutableOfBrokenMaps(t *testing.T) {
	for _, broken := range []string{"00400000-02000000 r-xp\n", "main-end r-xp 00000000 fe:00 1 /x\n"} {
		if _, err := executable(broken, 0x400000); err == nil || !strings.Contains(err.Error(), strings.TrimSpace(broken)) {
			t.Errorf("%q: %v", broken, err)
		}
	}
}

// kept is a variable with a value that is not in the file: it must survive.
var kept = "before"

func TestRelease(t *testing.T) {
	raw, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	own, err := executable(string(raw), reflect.ValueOf(Release).Pointer())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range own { // as if all had been used
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, m.from, m.to-m.from, unix.MADV_POPULATE_READ); errno == unix.EINVAL {
			t.Skip("this kernel cannot fault in pages for a test (MADV_POPULATE_READ, Linux 5.14)")
		} else if errno != 0 {
			t.Fatal(errno)
		}
	}
	kept = "after"
	before := residentPages(t, own)
	if err := Release(); err != nil {
		t.Fatal(err)
	}
	// Much of so small a program is needed again to count.
	if after := residentPages(t, own); after >= before*3/4 {
		t.Errorf("%d pages of the executable are resident, before %d", after, before)
	}
	if kept != "after" {
		t.Errorf("a variable is %q again", kept)
	}
}

// residentPages counts the present pages of the mappings in /proc/self/pagemap.
func residentPages(t *testing.T, list []mapping) (n int) {
	t.Helper()
	pagemap, err := os.Open("/proc/self/pagemap")
	if err != nil {
		t.Fatal(err)
	}
	defer pagemap.Close()
	size := uintptr(os.Getpagesize())
	for _, m := range list {
		entries := make([]byte, (m.to-m.from)/size*8)
		if _, err := pagemap.ReadAt(entries, int64(m.from/size*8)); err != nil {
			t.Fatal(err)
		}
		for i := 7; i < len(entries); i += 8 { // the top bit of each little-endian word
			if entries[i]&0x80 != 0 {
				n++
			}
		}
	}
	return n
}
