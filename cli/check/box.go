package check

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The bits of the capabilities that matter, from capability.h.
const (
	capNetAdmin    = 12
	capSysAdmin    = 21
	capSysResource = 24
)

func capabilities(context.Context) Result {
	effective, err := effectiveCapabilities()
	if err != nil {
		return warn(err.Error(), "cannot read this process's capabilities")
	}
	has := func(bit uint) bool { return effective&(1<<bit) != 0 }
	switch {
	case !has(capSysAdmin):
		return fail("no CAP_SYS_ADMIN", "run skiff outside of an unprivileged container")
	case !has(capNetAdmin):
		return fail("no CAP_NET_ADMIN", "run skiff outside of an unprivileged container")
	case !has(capSysResource):
		return warn("no CAP_SYS_RESOURCE", "critical containers cannot be protected from the OOM killer")
	}
	return ok("all that are needed")
}

func effectiveCapabilities() (uint64, error) {
	text, err := procField("/proc/self/status", "CapEff:")
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(text, 16, 64)
}

// procField returns what follows name in one of the kernel's files of
// "name value" lines.
func procField(path, name string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name); ok {
			return strings.TrimSpace(value), nil
		}
	}
	return "", fmt.Errorf("%s has no %s", path, name)
}

const leastMemoryMiB = 200

func memory(context.Context) Result {
	text, err := procField("/proc/meminfo", "MemTotal:")
	if err != nil {
		return warn(err.Error(), "cannot tell how much memory there is")
	}
	kib, err := strconv.Atoi(strings.TrimSuffix(text, " kB"))
	if err != nil {
		return warn(text, "cannot tell how much memory there is")
	}
	if mib := kib / 1024; mib < leastMemoryMiB {
		return warn(fmt.Sprintf("%d MiB", mib), "256 MiB and more are comfortable")
	}
	return ok("%d MiB", kib/1024)
}

const leastDiskMiB = 500

// dataDir looks at the nearest folder that exists above path.
func dataDir(path string) Result {
	dir := path
	for {
		if _, err := os.Stat(dir); err == nil || dir == "/" {
			break
		}
		dir = filepath.Dir(dir)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return fail(err.Error(), "choose another --data-dir")
	}
	free := fs.Bavail * uint64(fs.Bsize) >> 20
	switch {
	case fs.Flags&unix.ST_RDONLY != 0:
		return fail(dir+" is read-only", "choose another --data-dir")
	case fs.Type == unix.NFS_SUPER_MAGIC:
		return warn(dir+" is on NFS", "locks and fsync of a network disk are not to be trusted, choose a local one")
	case free < leastDiskMiB:
		return warn(fmt.Sprintf("%d MiB free in %s", free, dir), "make room, images alone need some hundred MiB")
	}
	return ok("%d MiB free in %s", free, dir)
}

func ports(ctx context.Context, b Box) Result {
	wanted := []int{b.HTTPSPort, 10250}
	for _, port := range wanted {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", ":"+strconv.Itoa(port))
		if err != nil {
			return fail(fmt.Sprintf("%d is in use", port), "stop what listens there (ss -tlnp), or choose another --https-port; a running skiff uses it itself")
		}
		l.Close()
	}
	return ok("%d, 10250 are free", b.HTTPSPort)
}

// released is a time before which no working clock can be.
var released = time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC)

func clock(context.Context) Result {
	now := time.Now()
	if now.Before(released) {
		return warn(now.Format(time.RFC3339), "the clock is behind: set it, or let NTP; certificates of others will seem not yet valid")
	}
	return ok("%s", now.UTC().Format(time.RFC3339))
}
