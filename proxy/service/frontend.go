// Package service turns the cluster's services and endpoint slices into what the
// kernel must do with packets: a Frontend is something that packets are sent to,
// a Backend says where they go from there. The translation is pure; package nft
// carries it out.
package service

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Protocol is a transport protocol by its IP number.
type Protocol uint8

// The protocols that a service port can have.
const (
	TCP  Protocol = 6
	UDP  Protocol = 17
	SCTP Protocol = 132
)

func (p Protocol) String() string {
	switch p {
	case TCP:
		return "TCP"
	case UDP:
		return "UDP"
	case SCTP:
		return "SCTP"
	}
	return fmt.Sprintf("protocol %d", uint8(p))
}

func protocolOf(p corev1.Protocol) Protocol {
	switch p {
	case corev1.ProtocolUDP:
		return UDP
	case corev1.ProtocolSCTP:
		return SCTP
	default:
		return TCP
	}
}

// Frontend is what packets are sent to: an address and port, or a port of
// every address of this node.
type Frontend struct {
	// Addr is the zero address of its family (0.0.0.0, ::) for a node port.
	Addr     netip.Addr
	Protocol Protocol
	Port     uint16
}

// IsNodePort tells whether the frontend is a port of the node.
func (f Frontend) IsNodePort() bool { return f.Addr.IsUnspecified() }

func (f Frontend) String() string {
	return fmt.Sprintf("%s/%s", netip.AddrPortFrom(f.Addr, f.Port), f.Protocol)
}

// Masquerade says when a packet's source becomes this node's address, so that
// the answer comes back through it.
type Masquerade uint8

const (
	// MasqueradeOutside is for packets from outside the cluster's pods.
	MasqueradeOutside Masquerade = iota
	// MasqueradeAlways is for all packets.
	MasqueradeAlways
	// MasqueradeNever keeps the client's address.
	MasqueradeNever
)

// Action is what happens to a packet.
type Action uint8

const (
	// Forward sends it to one of the endpoints.
	Forward Action = iota
	// Reject answers that the port is closed: there is no endpoint.
	Reject
	// Drop is silent: there are endpoints, but none that this node may use.
	Drop
)

// Backend is where a frontend's packets go.
type Backend struct {
	Action Action
	// Endpoints are sorted and without doubles; empty unless Action is Forward.
	Endpoints []netip.AddrPort
	// Inside, unless empty, are the endpoints for packets that the cluster's pods
	// and this node itself send, in place of Action and Endpoints: a policy for
	// traffic from outside is not for them. Pods keep their address, this node
	// does not. Sorted and without doubles.
	Inside []netip.AddrPort
	// Affinity is how long a client keeps its endpoint after its last connection;
	// 0 is none.
	Affinity   time.Duration
	Masquerade Masquerade
	// Own are the addresses among Endpoints and Inside that are on this node,
	// sorted: one of them that reaches itself through the service needs its source
	// changed.
	Own []netip.Addr
	// Sources are whom packets may come from, all others' are dropped; empty is
	// everyone.
	Sources []netip.Prefix
	// Serving are all endpoints of the cluster that serve, ready or not, here or
	// elsewhere: those with which a client that has one of them goes on. Sorted,
	// and only there for UDP, which has no connections that would end.
	Serving []netip.AddrPort
}

// ForInside are the endpoints for packets that pods and this node send.
func (b *Backend) ForInside() []netip.AddrPort {
	if len(b.Inside) > 0 {
		return b.Inside
	}
	return b.Endpoints
}

// Equal tells whether two backends are the same.
func (b *Backend) Equal(o *Backend) bool {
	return b.Action == o.Action && b.Affinity == o.Affinity && b.Masquerade == o.Masquerade &&
		slices.Equal(b.Endpoints, o.Endpoints) && slices.Equal(b.Inside, o.Inside) && slices.Equal(b.Own, o.Own) &&
		slices.Equal(b.Sources, o.Sources) && slices.Equal(b.Serving, o.Serving)
}

// Rules are the backends of frontends.
type Rules map[Frontend]*Backend

// Change is one frontend's change; Old is nil for a new one, New for one that
// goes.
type Change struct {
	Frontend Frontend
	Old, New *Backend
}

// Diff returns what changes old into wanted.
func Diff(old, wanted Rules) (changes []Change) {
	for f, b := range wanted {
		if was := old[f]; was == nil || !was.Equal(b) {
			changes = append(changes, Change{f, was, b})
		}
	}
	for f, was := range old {
		if wanted[f] == nil {
			changes = append(changes, Change{f, was, nil})
		}
	}
	return changes
}

// Merge makes one change of all those of a frontend: from the first one's Old to
// the last one's New. Changes that undo each other vanish.
func Merge(changes []Change) []Change {
	index := make(map[Frontend]int, len(changes))
	merged := changes[:0]
	for _, c := range changes {
		if i, ok := index[c.Frontend]; ok {
			merged[i].New = c.New
			continue
		}
		index[c.Frontend] = len(merged)
		merged = append(merged, c)
	}
	return slices.DeleteFunc(merged, func(c Change) bool {
		return c.Old == c.New || c.Old != nil && c.New != nil && c.Old.Equal(c.New)
	})
}
