// Package traffic sends packets through a node: from a client, by way of the
// node, to endpoints. Client and endpoints are network namespaces with a link to
// the node's, like pods; directly or through a service, packets take the same
// links.
//
//	client 10.42.127.2 ── node ── 10.42.126.2 and all of 10.42.128.0/17 endpoints
//
//	p, err := traffic.New(node.Inside)
//	took, err := p.Connect(service)  // until the first packet is answered
//	who, err := p.Ask(service)       // the endpoint that is reached
//	took, err := p.Send(service, n)  // n bytes
//	err = p.Close()
//
// Endpoints answer at every address, so that any number of services has ones of
// its own.
package traffic
