// Package join makes a box a node of a cluster, and keeps it one: the node's key,
// its certificates, which server answers, and what a node must know of its
// cluster.
//
//	m, err := join.Join(ctx, join.Config{Dir: dir, NodeName: name, Server: url, Token: token, ...})
//	clients, err := kubernetes.NewForConfig(m.RESTConfig())
//	g.Go(func() error { return m.Run(ctx) }) // renews certificates, follows the cluster
//
// A joiner fetches the cluster's authority without being able to verify whom it
// talks to, and compares it with the hash in the token; only then, over a
// connection that this authority vouches for, does it send the token's secret,
// with a request for a client certificate of its key. From then on the node is
// who it is by that certificate, and needs no token any more.
//
// # Files
//
// In Config.Dir: node.key (made once; both certificates are for it), authority.crt
// (the server authority that the token named), client.crt, serving.crt and
// cluster.json (the last known clusterinfo). A box that has the first three and
// the last starts without a server.
//
// # Clocks
//
// A box without a battery boots in 1970, and certificates are valid from then on.
// What is due is reckoned by the server's clock as its answers tell it, so that a
// box whose clock stays behind renews in time. A clock so far ahead that the
// server's certificate has ended by it cannot join, and is told by how much.
package join
