package check

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"

	nft "github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// inScratchNamespace runs f on a thread with a network namespace of its own,
// which ends with the thread: whatever f makes there, the box is left as it was.
func inScratchNamespace(f func() error) error {
	result := make(chan error)
	go func() {
		// Never unlocked: the thread, and the namespace with it, ends with this
		// goroutine.
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			result <- fmt.Errorf("cannot make a network namespace: %w", err)
			return
		}
		result <- f()
	}()
	return <-result
}

func features(context.Context) Result {
	if os.Geteuid() != 0 {
		return warn("not known", "run skiff check as root to find out")
	}
	missing, err := missingLinks(&netlink.Bridge{}, &netlink.Veth{PeerName: "peer"})
	if err != nil {
		return fail(err.Error(), "boot a kernel with network namespaces")
	}
	if !overlayExists() {
		missing = append(missing, "overlay")
	}
	if len(missing) > 0 {
		return fail("no "+strings.Join(missing, ", "), "load the kernel modules: modprobe "+strings.Join(missing, " "))
	}
	return ok("overlay, bridge, veth")
}

// missingLinks tries to make a link of each kind; the kernel loads a module that is
// there by itself.
func missingLinks(kinds ...netlink.Link) (missing []string, err error) {
	err = inScratchNamespace(func() error {
		for i, link := range kinds {
			link.Attrs().Name = fmt.Sprintf("c%d", i)
			if err := netlink.LinkAdd(link); err != nil {
				missing = append(missing, link.Type())
			}
		}
		return nil
	})
	return missing, err
}

// overlayExists looks at the file systems that the kernel has, and at the
// modules that it could load.
func overlayExists() bool {
	if b, err := os.ReadFile("/proc/filesystems"); err == nil && strings.Contains(string(b), "\toverlay\n") {
		return true
	}
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	b, err := os.ReadFile("/lib/modules/" + unix.ByteSliceToString(u.Release[:]) + "/modules.dep")
	return err == nil && strings.Contains(string(b), "/overlay.ko")
}

// nftables makes a table with a verdict map of concatenated keys, as the service
// proxy does.
func nftables(context.Context) Result {
	if os.Geteuid() != 0 {
		return warn("not known", "run skiff check as root to find out")
	}
	if err := inScratchNamespace(tryVerdictMap); err != nil {
		return fail(err.Error(), "load the kernel modules: modprobe nf_tables nft_chain_nat nft_numgen")
	}
	return ok("verdict maps, nat")
}

func tryVerdictMap() error {
	conn, err := nft.New()
	if err != nil {
		return fmt.Errorf("cannot open nftables: %w", err)
	}
	table := conn.AddTable(&nft.Table{Family: nft.TableFamilyIPv4, Name: "skiff-check"})
	conn.AddChain(&nft.Chain{
		Table: table, Name: "nat", Type: nft.ChainTypeNAT,
		Hooknum: nft.ChainHookPrerouting, Priority: nft.ChainPriorityNATDest,
	})
	key, err := nft.ConcatSetType(nft.TypeIPAddr, nft.TypeInetProto, nft.TypeInetService)
	if err != nil {
		return fmt.Errorf("cannot build a set type: %w", err)
	}
	err = conn.AddSet(&nft.Set{
		Table: table, Name: "services", IsMap: true, Concatenation: true,
		KeyType: key, DataType: nft.TypeVerdict,
	}, nil)
	if err != nil {
		return fmt.Errorf("cannot build a verdict map: %w", err)
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("the kernel refuses a verdict map: %w", err)
	}
	return nil
}
