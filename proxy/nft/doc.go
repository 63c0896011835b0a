// Package nft carries out service rules in the kernel with nftables, over
// netlink, in one table of its own per address family; it never looks at any
// other table.
//
// The cost of a packet does not depend on the number of services, and the cost
// of a change not on the number of rules, because services are elements of maps
// and not rules:
//
//	services   address . protocol . port           → chain
//	nodeports  protocol . port                     → chain
//	endpoints  address . protocol . port . index   → address . port
//	affinity   client . address . protocol . port  → address . port, with a timeout
//
// The chains behind the first two maps are shared by all services that have the
// same number of endpoints and the same way of handling them: such a chain draws
// a number below the number of endpoints and looks the endpoint up. A chain per
// service, the usual way, makes the kernel validate every chain at every commit.
// Where traffic from outside is kept local, the chain first sends packets from
// pods and from this node to another one, which draws from a second range of
// indexes.
//
// Only the first packet of a connection sees any of this.
package nft
