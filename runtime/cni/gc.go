package cni

import (
	"errors"
	"fmt"
	"os"

	"skiff/runtime/cni/attach"
	"skiff/runtime/cni/hostport"
	"skiff/runtime/cni/ipam"
)

// Attachment identifies what CNI attached: a sandbox and its link.
type Attachment = ipam.Owner

// GC releases addresses, links and host ports of all attachments but the given
// ones. The agent calls it at start with the sandboxes that the runtime knows:
// nobody else will ever ask for what a killed plugin left behind.
func (c Config) GC(valid []Attachment) error {
	return collect(c.StateDir, c.Bridge, c.Table, valid)
}

func collect(stateDir, bridge, table string, valid []Attachment) error {
	store, err := ipam.Open(stateDir)
	if err != nil {
		return err
	}
	defer store.Close()
	links := make([]string, 0, len(valid))
	keys := make([]string, 0, len(valid))
	for _, v := range valid {
		links = append(links, attach.HostLink(v.ContainerID, v.IfName))
		keys = append(keys, hostport.Key(v.ContainerID, v.IfName))
	}
	return errors.Join(
		attach.KeepLinks(bridge, links),
		hostport.New(table, bridge).Keep(keys),
		store.Keep(valid),
	)
}

// Remove takes away all that the plugin made on this node: links, table and
// addresses, whatever runs.
func (c Config) Remove() error {
	err := errors.Join(
		attach.KeepLinks(c.Bridge, nil),
		attach.RemoveBridge(c.Bridge),
		hostport.New(c.Table, c.Bridge).Remove(),
		os.RemoveAll(c.StateDir),
	)
	if err != nil {
		return fmt.Errorf("remove the pod network: %w", err)
	}
	return nil
}
