package cni

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"skiff/atomicfile"
	"skiff/runtime/cni/ipam"
	"skiff/runtime/instance"
)

// configFile sorts first, and its number leaves room before it: a file that an
// administrator puts there, or another directory of configurations, wins.
const configFile = "10-skiff.conflist"

// confVersion is CNI 1.0: from 1.1 on, containerd asks the plugin for its
// STATUS in a process of its own, each time that the node's status is asked for.
const confVersion = "1.0.0"

// Config is what the node agent knows about the pods' network.
type Config struct {
	// Network, Bridge and Table are names; see package instance.
	Network, Bridge, Table string
	// StateDir holds the address store. On a tmpfs it is empty after a reboot,
	// as is the set of sandboxes.
	StateDir string
	// MemoryDir keeps over reboots which pod had which address.
	MemoryDir string
	// PodCIDRs are the node's blocks, at most one per address family. The first
	// address of each is the node's own, on the bridge.
	PodCIDRs []netip.Prefix
	// MTU of pods' links in bytes; 0 is the kernel's default.
	MTU int
}

// ConfigFor returns the configuration of a data directory's instance.
func ConfigFor(dataDir string, podCIDRs []netip.Prefix, mtu int) Config {
	in := instance.Of(dataDir)
	return Config{
		Network:   in.Network(),
		Bridge:    in.Bridge(),
		Table:     in.Table("hostports"),
		StateDir:  filepath.Join(in.RunDir(), "cni"),
		MemoryDir: filepath.Join(dataDir, "agent", "addresses"),
		PodCIDRs:  podCIDRs,
		MTU:       mtu,
	}
}

// Marshal returns the network configuration list for the plugin.
func (c Config) Marshal() ([]byte, error) {
	if len(c.PodCIDRs) == 0 {
		return nil, errors.New("network configuration: no pod CIDR")
	}
	plugin := map[string]any{
		"type":         PluginType,
		"bridge":       c.Bridge,
		"hairpin":      true,
		"stateDir":     c.StateDir,
		"memoryDir":    c.MemoryDir,
		"table":        c.Table,
		"capabilities": map[string]bool{"portMappings": true},
	}
	if c.MTU != 0 {
		plugin["mtu"] = c.MTU
	}
	var ranges []RangeConf
	for _, p := range c.PodCIDRs {
		r, err := ipam.NewRange(p)
		if err != nil {
			return nil, fmt.Errorf("network configuration: %w", err)
		}
		ranges = append(ranges, RangeConf{Subnet: r.Subnet.String(), Gateway: r.Gateway.String()})
	}
	plugin["ranges"] = ranges
	single, err := json.Marshal(plugin)
	if err != nil {
		return nil, err
	}
	if _, _, err := ParseNetConf(single); err != nil {
		return nil, err
	}
	return json.MarshalIndent(map[string]any{
		"cniVersion": confVersion,
		"name":       c.Network,
		"plugins":    []any{plugin},
	}, "", "  ")
}

// Write puts the configuration into confDir, atomically, unless exactly it is
// there, and says whether it did. The runtime takes it up by itself.
func (c Config) Write(confDir string) (changed bool, err error) {
	data, err := c.Marshal()
	if err != nil {
		return false, err
	}
	data = append(data, '\n')
	path := filepath.Join(confDir, configFile)
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, data) {
		return false, nil
	}
	if err := os.MkdirAll(confDir, 0o755); err != nil {
		return false, err
	}
	return true, atomicfile.Write(path, data, 0o644)
}

// RemoveConfig takes the configuration out of confDir again.
func RemoveConfig(confDir string) error {
	err := os.Remove(filepath.Join(confDir, configFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
