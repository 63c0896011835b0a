package node

import "skiff/runtime/containerd"

// OutsideDirs are the folders that a node of this configuration makes on the box
// outside of its data folder and /run.
func OutsideDirs(cfg Config) []string {
	if cfg.RuntimeEndpoint != "" {
		return nil
	}
	return []string{containerd.CNICache}
}
