// Package containerd runs the containerd daemon inside this process: its
// plugins as goroutines, its CRI services as plain objects, no gRPC socket.
//
// The node agent uses it through runtime/cri:
//
//	d, err := containerd.New(containerd.Config{Layout: containerd.LayoutFor(dataDir), ...})
//	defer d.Close() // containers and shims run on
//	agent.New(cfg, agent.Deps{Runtime: d.Runtime(), Images: d.Images()})
//
// containerd keeps its plugins in a registry of the process, and its CRI
// service cannot be stopped and built again; so a process holds one daemon, once.
//
// # What lives where
//
//	<data-dir>/containerd      images, snapshots, metadata (persistent)
//	/run/skiff/<hash>/         task state, shim sockets, network namespaces (volatile)
//
// <hash> is derived from the data directory, so that two instances with
// different data directories share nothing.
//
// # After a restart
//
// Shims outlive the daemon. New connects to those it finds, and recovers the
// exit codes of containers that ended in between (see exits.go). Purge removes
// everything again, with no daemon running.
package containerd
