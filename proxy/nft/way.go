package nft

import (
	"fmt"

	"skiff/proxy/service"
)

// way is how a frontend's packets are handled; frontends of the same way share a
// chain.
type way struct {
	// endpoints is their number; with 0, only packets from inside are forwarded.
	endpoints int
	// inside is the number of endpoints for packets from inside the cluster; 0 if
	// they are handled as all others.
	inside     int
	nodePort   bool
	masquerade service.Masquerade
	// affinity in seconds; 0 is none.
	affinity int
	// second says that the endpoints are those for packets from inside.
	second bool
}

func wayOf(f service.Frontend, b *service.Backend) way {
	return way{
		endpoints: len(b.Endpoints), inside: len(b.Inside), nodePort: f.IsNodePort(),
		masquerade: b.Masquerade, affinity: int(b.Affinity.Seconds()),
	}
}

// forInside is the way of packets from inside.
func (w way) forInside() way {
	return way{endpoints: w.inside, nodePort: w.nodePort, masquerade: service.MasqueradeNever, affinity: w.affinity, second: true}
}

// secondIndex is the index of a frontend's first endpoint for packets from
// inside, behind all that others can have.
const secondIndex = 1 << 20

func (w way) firstIndex() int {
	if w.second {
		return secondIndex
	}
	return 0
}

// chainName is as short as it may be: it is a user's only name for the chain.
func (w way) chainName() string {
	name := fmt.Sprintf("to-%d", w.endpoints)
	if w.second {
		name = fmt.Sprintf("inside-to-%d", w.endpoints)
	}
	if w.inside > 0 {
		name += fmt.Sprintf("-inside-%d", w.inside)
	}
	if w.nodePort {
		name += "-nodeport"
	}
	switch {
	case w.second: // its chain before it has seen to the source
	case w.masquerade == service.MasqueradeAlways:
		name += "-masq"
	case w.masquerade == service.MasqueradeNever:
		name += "-keep"
	}
	if w.affinity > 0 {
		name += fmt.Sprintf("-affinity-%d", w.affinity)
	}
	return name
}
