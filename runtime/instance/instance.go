// Package instance derives the names of everything outside a data directory
// that belongs to it: run directory, links, nftables tables, cgroups. Two
// instances with different data directories get different names, so that they
// never touch each other; the default data directory gets the plain ones.
//
//	id := instance.Of("/var/lib/skiff")
//	id.RunDir() // /run/skiff/1a2b3c4d
//	id.Bridge() // skiff0
package instance

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
)

// DefaultDataDir is where skiff keeps its data unless told otherwise.
const DefaultDataDir = "/var/lib/skiff"

// Instance stands for one data directory on this machine.
type Instance struct {
	id        string
	isDefault bool
}

// Of returns the instance of a data directory, which need not exist yet.
func Of(dataDir string) Instance {
	if abs, err := filepath.Abs(dataDir); err == nil {
		dataDir = abs
	}
	isDefault := dataDir == DefaultDataDir
	if real, err := filepath.EvalSymlinks(dataDir); err == nil {
		dataDir = real
	}
	sum := sha256.Sum256([]byte(dataDir))
	return Instance{id: hex.EncodeToString(sum[:4]), isDefault: isDefault}
}

// ID returns eight hex digits.
func (i Instance) ID() string { return i.id }

// RunDir holds what need not survive a reboot. Its path is short, because
// sockets below it must fit into 108 bytes.
func (i Instance) RunDir() string { return "/run/skiff/" + i.id }

// Bridge names the link that pods of this node are attached to; at most 15 bytes.
func (i Instance) Bridge() string {
	if i.isDefault {
		return "skiff0"
	}
	return "skiff-" + i.id
}

// Overlay names the link that carries pods' traffic to other nodes; at most 15
// bytes.
func (i Instance) Overlay() string {
	if i.isDefault {
		return "skiff-overlay"
	}
	return "skiffo-" + i.id
}

// Network names the CNI network.
func (i Instance) Network() string {
	if i.isDefault {
		return "skiff"
	}
	return "skiff-" + i.id
}

// Table names an nftables table for the given purpose.
func (i Instance) Table(purpose string) string {
	if i.isDefault {
		return "skiff-" + purpose
	}
	return "skiff-" + purpose + "-" + i.id
}

// CgroupParent is the cgroup below which all pods of this node are.
func (i Instance) CgroupParent() string {
	if i.isDefault {
		return "/kubepods"
	}
	return "/kubepods-" + i.id
}
