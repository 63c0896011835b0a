// Package hostport forwards ports of the node to pods, with a nftables table of
// its own per instance:
//
//	prerouting, output   packets for an address of the node → forward
//	forward              one rule per mapping: dnat
//	postrouting          a pod that reaches itself, and the node over
//	                     loopback, are masqueraded
//	guard                keeps pods off the node's loopback addresses
//
// Every rule of an attachment carries its key as user data, by which it is
// found and removed again without any other record.
//
//	p := hostport.New("skiff-hostports", "skiff0")
//	p.Add(hostport.Key(containerID, ifName), mappings)
//	p.Remove...
package hostport
