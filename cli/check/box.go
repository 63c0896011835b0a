package check

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
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

func (b Box) clock(context.Context) Result {
	now := time.Now()
	if now.Before(b.Built) {
		return warn(now.UTC().Format(time.RFC3339)+", before this skiff was built", "set the clock, or let NTP; certificates of others will seem not yet valid, and jobs will run at wrong times")
	}
	return ok("%s", now.UTC().Format(time.RFC3339))
}

func (b Box) address(context.Context) Result {
	a, err := b.Address()
	if err != nil {
		return warn("none besides loopback", "connect the box, or name its --node-ip; until then it works for itself alone")
	}
	return ok("%s", a)
}
