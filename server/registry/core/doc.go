// Package core describes the resources of the core API group (v1): their
// defaults, rules, columns and subresources.
//
// Resources returns them for the server's one table. A file holds one kind, or
// one aspect of a kind that has many: service_*.go, pod_*.go. The rules are those
// of Kubernetes v1.37, field paths and texts included.
//
// What must be unique in the cluster (addresses and ports of services) is claimed
// with the service's own write: see service_allocate.go.
//
// Subresources that lead to a node or a pod (log, exec, attach, portforward,
// proxy) reach it through Deps.Nodes: see connect.go.
package core
