// Package host makes boxes for tests and benchmarks that run the built skiff
// with real containers: each is a network namespace with an address and no way
// out, a data folder, a configuration file and a kubeconfig of its own.
//
//	h := host.New(t, host.Config{})   // removed at the end of the test
//	h.Start("--log-level", "debug")   // `skiff server`, until its node is Ready
//	h.Import(archive)                 // `skiff images import`
//	out := h.Kubectl("get", "nodes")  // `skiff kubectl`, in the namespace
//	h.Stop()                          // SIGTERM; containers run on
//	h.Start()
//	other.StartAgent(h)               // `skiff agent`, a node of h's cluster
//
// Hosts that share a Network reach each other, and those of a network behind
// another reach that one; cables can be pulled, addresses change, and the power
// can be cut. At the end of a test whatever
// runs is stopped and uninstalled, and the test fails if anything is left on the
// machine: processes, mounts, cgroups, links, rules, files. What a killed test
// run left behind, the next one removes.
//
// Cgroups, and mounts unless a host has a resolver configuration of its own, are
// the machine's: hosts differ there by the names that skiff derives from the data
// folder. Everything here needs root.
package host

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Config says what a host is like. The zero value is a box by itself.
type Config struct {
	// Network is what the host is attached to; nil is a link that leads nowhere.
	Network *Network
	// DiskSize is that of a file system of its own that holds the data folder, in
	// bytes; 0 keeps it on the machine's.
	DiskSize int64
	// Gateway is where everything goes that the host knows no other way to; it
	// must be on the Network. None means that of the Network, which has none unless
	// it is behind another.
	Gateway netip.Addr
	// NodeName is that of the host's node, "" means "box".
	NodeName string
	// ResolvConf is the resolver configuration that the host has, "" is the
	// machine's. It takes a mount namespace of the host's own.
	ResolvConf string
}

// Host is one box.
type Host struct {
	// Name is that of the network namespace, below /run/netns.
	Name string
	// Dir holds all of the host's files.
	Dir string
	// DataDir, Kubeconfig and ConfigFile are what skiff is told by way of the
	// configuration file, which every command of the host is given.
	DataDir, Kubeconfig, ConfigFile string
	NodeName                        string
	// Addr is the host's own address.
	Addr netip.Addr
	// Binary is the skiff that runs here.
	Binary string

	t       testing.TB
	place   *place
	network *Network
	gateway netip.Addr
	// artifacts is where logs of failed tests go.
	artifacts string
	empty     State // the namespace before any skiff
	used      bool  // a server or an agent ran here
	process   *process
}

// New makes a host, and removes it at the end of the test.
func New(t testing.TB, cfg Config) *Host {
	t.Helper()
	binary, err := findBinary()
	if err != nil {
		t.Fatal(err)
	}
	sweepOnce(t, binary)
	p := newPlace(t)
	h := &Host{
		Name: p.name, Dir: p.dir, NodeName: cfg.NodeName, Binary: binary, t: t, place: p,
		network: cfg.Network, gateway: cfg.Gateway, artifacts: t.ArtifactDir(),
		DataDir: p.dataDir(), Kubeconfig: p.kubeconfig(), ConfigFile: p.configFile(),
	}
	if h.NodeName == "" {
		h.NodeName = "box"
	}
	t.Cleanup(h.remove)
	if err := h.connect(); err != nil {
		t.Fatal(err)
	}
	if err := p.writeConfig(h.NodeName); err != nil {
		t.Fatal(err)
	}
	if cfg.DiskSize > 0 {
		if err := p.mountDataDir(cfg.DiskSize); err != nil {
			t.Fatal(err)
		}
	}
	if cfg.ResolvConf != "" {
		if err := p.setResolvConf(cfg.ResolvConf); err != nil {
			t.Fatal(err)
		}
	}
	h.empty = h.State()
	return h
}

// Usable returns why no host can be made here, nil if one can: there is no skiff
// to run, or this process is not root's.
func Usable() error {
	_, err := findBinary()
	return err
}

// findBinary is $SKIFF_BINARY, or what `make build` made.
func findBinary() (string, error) {
	path := os.Getenv("SKIFF_BINARY")
	if path == "" {
		root, err := projectRoot()
		if err != nil {
			return "", err
		}
		path = filepath.Join(root, "bin", "skiff")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("there is no skiff to test, run `make build` or set SKIFF_BINARY: %w", err)
	}
	if os.Geteuid() != 0 {
		return "", fmt.Errorf("hosts need root: they are network namespaces with mounts and cgroups")
	}
	return path, nil
}

// projectRoot is the folder above this one that holds go.mod: tests run in the
// folder of their package.
func projectRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("no folder above this one holds go.mod; set SKIFF_BINARY")
		}
		dir = parent
	}
}

// remove ends and removes all of the host.
func (h *Host) remove() {
	h.t.Helper()
	h.showCluster()
	h.endProcess()
	h.showLog()
	if h.place.installed() {
		h.used = true
		if err := h.place.uninstall(h.Binary); err != nil {
			h.t.Errorf("%s: %v", h.Name, err)
		}
	}
	if left := h.Left(); h.used && len(left) > 0 {
		h.t.Errorf("%s: left behind:\n  %s", h.Name, strings.Join(left, "\n  "))
	}
	if err := h.place.remove(); err != nil {
		h.t.Errorf("%s: %v", h.Name, err)
	}
}
