package overlay

import (
	"fmt"
	"slices"
	"strings"
)

// Mode is how the pods of different nodes reach each other.
type Mode string

// The modes; see the package's comment.
const (
	VXLAN     Mode = "vxlan"
	HostGW    Mode = "host-gw"
	WireGuard Mode = "wireguard"
	None      Mode = "none"
)

// Modes are all of them, the default one first.
var Modes = []Mode{VXLAN, HostGW, WireGuard, None}

// ParseMode reads the name of a mode; "" is the default.
func ParseMode(name string) (Mode, error) {
	if name == "" {
		return VXLAN, nil
	}
	if !slices.Contains(Modes, Mode(name)) {
		return "", fmt.Errorf("there is no %q, choose one of %s", name, ModeNames())
	}
	return Mode(name), nil
}

// ModeNames lists the modes for a user.
func ModeNames() string {
	names := make([]string, len(Modes))
	for i, m := range Modes {
		names[i] = string(m)
	}
	return strings.Join(names, ", ")
}

// overhead is what a mode adds to each packet, in bytes, by whether the nodes
// reach each other by IPv6.
func (m Mode) overhead(v6 bool) int {
	bytes := 0
	switch m {
	case VXLAN:
		bytes = 14 + 8 + 8 + 20 // Ethernet, vxlan, UDP, IPv4
	case WireGuard:
		bytes = 32 + 8 + 20 // header and tag, UDP, IPv4
	default:
		return 0
	}
	if v6 {
		bytes += 20
	}
	return bytes
}
