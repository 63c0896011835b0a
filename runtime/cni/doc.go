// Package cni is the built-in pod network of a node: the configuration that
// the agent writes, and what it does at start to reclaim what is left over.
// The plugin itself, in package plugin, is an executable of its own that the
// container runtime calls as the CNI specification (1.0 and 1.1) says, so that
// any other CNI plugin can take its place.
//
//	cfg := cni.ConfigFor(dataDir, node.PodCIDRs, mtu)
//	cfg.Write(confDir)                 // the runtime notices
//	cfg.GC(sandboxes)                  // at start, with the sandboxes that exist
//	cfg.Remove()                       // uninstall
//
// # How pods are wired
//
//	host                                   pod
//	skiff0 (bridge, 10.42.0.1/24)          eth0 10.42.0.7/32
//	  └─ skv3f2a91c04b7 (veth) ──────────────┘  default via 10.42.0.1
//
// A pod's address is a /32 (/128): it has no neighbour but the gateway. So
// traffic between two pods of a node is routed, too, and what the service
// proxy translated on its way there is translated back on its way home,
// without the br_netfilter module that a flat subnet would need. MAC addresses
// follow from the IP addresses, so that an address that is given to another
// pod leaves no stale neighbour entries behind.
//
// A pod that gets a new sandbox, as all do after a reboot, keeps its address (see
// ipam.Memory).
package cni
