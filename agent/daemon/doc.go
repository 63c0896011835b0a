// Package daemon is the process of `skiff agent`: a box that is a node of another
// box's cluster. It is the only place that wires such a box together; the node
// itself is the same as a server's (agent/node).
//
//	err := daemon.Run(ctx, cfg, observer)
package daemon
