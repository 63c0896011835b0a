// Package server is the control plane of a cluster and, unless that is switched
// off, the node that it runs on: Config says what to run, and Run runs it until
// its context ends. It is the only place that wires the parts together; each
// part lives in a package of its own and knows the others by the interfaces that
// it takes.
package server
