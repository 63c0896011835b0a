// Package netdump lists what the kernel holds of links, addresses and routes
// although others change it meanwhile: the kernel then tells that its list may be
// wrong (NLM_F_DUMP_INTR), and has to be asked again. Pods that start and end are
// such others. It is a leaf that everyone may import.
//
//	links, err := netdump.Whole(netlink.LinkList)
package netdump

import (
	"errors"

	"github.com/vishvananda/netlink"
)

// attempts are enough for a box on which dozens of pods start at once: a list
// takes less than a millisecond.
const attempts = 50

// Whole returns what list does, as soon as nothing was changed while it listed.
func Whole[T any](list func() ([]T, error)) (found []T, err error) {
	for range attempts {
		if found, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return found, err
}
