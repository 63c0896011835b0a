package cni

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "net.d")
	c := ConfigFor("/srv/x", []netip.Prefix{netip.MustParsePrefix("10.42.3.0/24")}, 1450)
	for i, want := range []bool{true, false} {
		changed, err := c.Write(dir)
		if err != nil || changed != want {
			t.Errorf("write %d: changed %v, %v; want %v", i, changed, err, want)
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "10-skiff.conflist"))
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		CNIVersion, Name string
		Plugins          []json.RawMessage
	}
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	if list.CNIVersion != "1.0.0" || list.Name != c.Network || len(list.Plugins) != 1 {
		t.Errorf("list is %s", data)
	}
	conf, ranges, err := ParseNetConf(list.Plugins[0])
	if err != nil {
		t.Fatal(err)
	}
	if conf.StateDir == conf.MemoryDir || conf.MemoryDir != "/srv/x/agent/addresses" {
		t.Errorf("who had which address last is kept in %q", conf.MemoryDir)
	}
	if conf.Type != PluginType || conf.MTU != 1450 || !conf.Capabilities["portMappings"] || ranges[0].Gateway.String() != "10.42.3.1" {
		t.Errorf("plugin configuration is %s", list.Plugins[0])
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("more than the configuration is in the directory: %v", files)
	}
	if err := RemoveConfig(dir); err != nil {
		t.Fatal(err)
	}
	if err := RemoveConfig(dir); err != nil {
		t.Errorf("removing nothing: %v", err)
	}
}

func TestMarshalRefuses(t *testing.T) {
	base := ConfigFor("/srv/x", nil, 0)
	for want, cidrs := range map[string][]string{
		"no pod CIDR":                 nil,
		"too small":                   {"10.42.0.0/31"},
		"bits set":                    {"10.42.0.1/24"},
		"second subnet":               {"10.42.0.0/24", "10.43.0.0/24"},
		"at most one per address fam": {"10.42.0.0/24", "fd00::/64", "10.43.0.0/24"},
	} {
		c := base
		for _, s := range cidrs {
			c.PodCIDRs = append(c.PodCIDRs, netip.MustParsePrefix(s))
		}
		if _, err := c.Marshal(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error %v, want %q", cidrs, err, want)
		}
	}
}
