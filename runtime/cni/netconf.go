package cni

import (
	"encoding/json"
	"fmt"
	"net/netip"

	"github.com/containernetworking/cni/pkg/types"

	"skiff/runtime/cni/ipam"
)

// PluginType is the plugin's name in network configurations, and its file's.
const PluginType = "skiff-cni"

// NetConf is the configuration that the plugin is given on its standard input.
type NetConf struct {
	types.PluginConf

	// Bridge is the link that pods are attached to; the plugin creates it.
	Bridge string `json:"bridge"`
	// MTU of bridge and pods' links in bytes; 0 leaves the kernel's default.
	MTU int `json:"mtu,omitempty"`
	// Hairpin lets a pod reach itself through the bridge.
	Hairpin bool `json:"hairpin,omitempty"`
	// StateDir holds the address store.
	StateDir string `json:"stateDir"`
	// MemoryDir keeps over reboots which pod had which address; without one that
	// is not remembered.
	MemoryDir string `json:"memoryDir,omitempty"`
	// Table is the nftables table for host ports.
	Table string `json:"table"`
	// Ranges has one subnet per address family, the pod's first address out of the first.
	Ranges []RangeConf `json:"ranges"`

	RuntimeConfig struct {
		PortMappings []PortMapping `json:"portMappings,omitempty"`
	} `json:"runtimeConfig"`
}

// RangeConf is a subnet, and its gateway, by default the subnet's first address.
type RangeConf struct {
	Subnet  string `json:"subnet"`
	Gateway string `json:"gateway,omitempty"`
}

// PortMapping is CNI's convention for the capability portMappings.
type PortMapping struct {
	HostPort      uint16 `json:"hostPort"`
	ContainerPort uint16 `json:"containerPort"`
	Protocol      string `json:"protocol"`
	HostIP        string `json:"hostIP,omitempty"`
}

// ParseNetConf reads and checks a plugin configuration. Its errors are one
// line each and name the field.
func ParseNetConf(data []byte) (*NetConf, []ipam.Range, error) {
	c := &NetConf{}
	if err := json.Unmarshal(data, c); err != nil {
		return nil, nil, types.NewError(types.ErrDecodingFailure, fmt.Sprintf("network configuration is not valid JSON for %s: %v", PluginType, err), "")
	}
	ranges, err := c.check()
	if err != nil {
		return nil, nil, types.NewError(types.ErrInvalidNetworkConfig, fmt.Sprintf("network %q: %v", c.Name, err), "")
	}
	return c, ranges, nil
}

func (c *NetConf) check() ([]ipam.Range, error) {
	if err := checkLinkName(c.Bridge); err != nil {
		return nil, fmt.Errorf("bridge: %w", err)
	}
	switch {
	case c.StateDir == "":
		return nil, fmt.Errorf("stateDir is missing")
	case c.Table == "":
		return nil, fmt.Errorf("table is missing")
	case c.MTU != 0 && (c.MTU < 576 || c.MTU > 65535):
		return nil, fmt.Errorf("mtu: %d is not between 576 and 65535", c.MTU)
	case len(c.Ranges) == 0:
		return nil, fmt.Errorf("ranges is empty: no subnet to give addresses from")
	case len(c.Ranges) > 2:
		return nil, fmt.Errorf("ranges has %d entries, at most one per address family is possible", len(c.Ranges))
	}
	var ranges []ipam.Range
	for i, rc := range c.Ranges {
		r, err := rc.parse()
		if err != nil {
			return nil, fmt.Errorf("ranges[%d]: %w", i, err)
		}
		if i > 0 && ranges[0].Subnet.Addr().Is4() == r.Subnet.Addr().Is4() {
			return nil, fmt.Errorf("ranges[%d]: a second subnet of the same address family", i)
		}
		ranges = append(ranges, r)
	}
	return ranges, nil
}

func (rc RangeConf) parse() (ipam.Range, error) {
	subnet, err := netip.ParsePrefix(rc.Subnet)
	if err != nil {
		return ipam.Range{}, fmt.Errorf("subnet %q is not a CIDR", rc.Subnet)
	}
	if rc.Gateway == "" {
		return ipam.NewRange(subnet)
	}
	gw, err := netip.ParseAddr(rc.Gateway)
	if err != nil {
		return ipam.Range{}, fmt.Errorf("gateway %q is not an address", rc.Gateway)
	}
	r := ipam.Range{Subnet: subnet, Gateway: gw}
	return r, r.Validate()
}

func checkLinkName(name string) error {
	if name == "" {
		return fmt.Errorf("name is missing")
	}
	if len(name) > 15 {
		return fmt.Errorf("%q is longer than the 15 bytes of a link's name", name)
	}
	for _, r := range name {
		if r <= ' ' || r == '/' || r == ':' || r > '~' {
			return fmt.Errorf("%q is not a link's name", name)
		}
	}
	return nil
}
