// Package tunnel reaches the agents of nodes that cannot be dialled, behind NAT or
// a firewall, over the connection that each of them opened. (docs/adr/0012)
//
//	agent                                        server
//	GET /skiff/v1/tunnel, node's certificate ──▶ Server.ServeHTTP
//	            ◀── 101, yamux from here on ──
//	own API, own pods ◀── streams ───────────── Server.Dial(ctx, node, address)
//
// An idle tunnel costs the server two goroutines; the figures are in
// BenchmarkIdleTunnels.
package tunnel
