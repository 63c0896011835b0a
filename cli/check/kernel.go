package check

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

func root(context.Context) Result {
	if os.Geteuid() != 0 {
		return fail(fmt.Sprintf("user %d", os.Geteuid()), "run skiff as root (sudo)")
	}
	return ok("yes")
}

// oldestKernel has nftables' maps of verdicts with concatenated keys, and
// overlayfs as containerd needs it.
const oldestKernelMajor, oldestKernelMinor = 5, 4

func kernel(context.Context) Result {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return fail(err.Error(), "this kernel does not answer uname(2)")
	}
	release := unix.ByteSliceToString(u.Release[:])
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		return warn(release, "cannot read this version, 5.4 or newer is needed")
	}
	if major < oldestKernelMajor || major == oldestKernelMajor && minor < oldestKernelMinor {
		return fail(release, "install a kernel of version 5.4 or newer")
	}
	return ok("%s", release)
}

const cgroupRoot = "/sys/fs/cgroup"

var neededControllers = []string{"cpu", "memory", "pids"}

func cgroups(context.Context) Result {
	version, have := controllers()
	var missing []string
	for _, c := range neededControllers {
		if !slices.Contains(have, c) {
			missing = append(missing, c)
		}
	}
	switch {
	case version == "":
		return fail("none mounted", "mount cgroup2 on "+cgroupRoot)
	case slices.Contains(missing, "memory"):
		return warn(version+" without "+strings.Join(missing, ", "), "memory limits will not hold: boot with cgroup_enable=memory cgroup_memory=1")
	case len(missing) > 0:
		return warn(version+" without "+strings.Join(missing, ", "), "those limits will not hold: enable the controllers in the kernel")
	}
	return ok("%s", version)
}

// controllers returns the version of the cgroup hierarchy and what it controls.
func controllers() (version string, have []string) {
	if b, err := os.ReadFile(filepath.Join(cgroupRoot, "cgroup.controllers")); err == nil {
		return "v2", strings.Fields(string(b))
	}
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return "", nil
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		_, fs, _ := strings.Cut(lines.Text(), " - ")
		if parts := strings.Fields(fs); len(parts) > 2 && parts[0] == "cgroup" {
			version = "v1"
			have = append(have, strings.Split(parts[2], ",")...)
		}
	}
	return version, have
}
