// Package overlay carries the pods' traffic between nodes. It follows the Node
// objects (address blocks, addresses) and keeps this node's links, routes,
// neighbours and forwarding entries equal to what follows from them:
//
//	vxlan     one link; for each block of another node a route, a neighbour and
//	          a forwarding entry. Nothing is flooded and nothing learned.
//	host-gw   for each block a route by the other node's address, which must be
//	          on a network that both are in.
//	wireguard one link; for each other node a peer, for each of its blocks a route.
//	          A node behind NAT calls the others, and keeps the way back open.
//	none      nothing: another program, or the network's routers, do it.
//
// What each node needs of another one follows from the other's Node object alone:
// so the address (MAC) of a vxlan link follows from the node's block, and the
// public key for wireguard is an annotation of it.
//
// # How it works
//
// plan computes the wanted State from the nodes, Kernel reads the State that is,
// and reconcile goes from one to the other: first what is new or changed, in
// place, then what is no longer wanted. So a crash at any point is repaired by the
// next start, and a change disturbs no packet of other nodes. What belongs to the
// overlay is known by the link's name and by the routes' mark
// (hostnet.OverlayRoutes); nothing else is touched, not even where it is in the way.
//
//	o, err := overlay.New(overlay.Config{NodeName: "a", Mode: overlay.VXLAN, Link: "skiff-overlay"}, nodes)
//	err = o.Run(ctx, ready)
package overlay
