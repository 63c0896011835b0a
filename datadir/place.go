package datadir

import (
	"os"
	"strings"
)

// Place is a network namespace of one boot of a box: the links, addresses and
// rules that a process made are there, and nowhere else.
type Place struct {
	// Boot is the kernel's id of the boot.
	Boot string `json:"boot,omitempty"`
	// Network names the namespace, as /proc does: net:[4026531840].
	Network string `json:"network,omitempty"`
}

// Here tells whether this process is at the place; what is not known may be.
func (p Place) Here() bool { return p == Place{} || p == here() }

// Gone tells whether the place ended with an earlier boot.
func (p Place) Gone() bool { return p.Boot != "" && p.Boot != here().Boot }

func here() Place {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return Place{}
	}
	network, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		return Place{}
	}
	return Place{Boot: strings.TrimSpace(string(boot)), Network: network}
}
