// Package hollow makes agents that run nothing: to the server each looks like
// `skiff agent` on a box of its own, with a certificate, a connection, the
// watches and the heartbeats of one, and all of them fit into one process. What
// they are sent is thrown away unread.
//
//	fleet, err := hollow.New(ctx, hollow.Config{REST: cfg, DataDir: serversDataDir, Dial: dial})
//	err = fleet.Add("node-1")
//	err = fleet.Stop()
//
// Their certificates are signed with the server's authorities, which are read
// from its data folder: what is measured is a fleet at rest, not its joining.
package hollow
