// Package bootstrap makes what every cluster has from the beginning: the namespaces
// default and kube-*, the default roles and bindings, the two system priority
// classes, and the default flow control objects, as upstream v1.37 has them.
//
//	err := bootstrap.Ensure(ctx, client)   // at each start of an API server, with a user of system:masters
//
// It lists each kind once, compares, and writes only what is missing or lacks
// something, many at a time: an empty cluster gets its some 170 objects in about a tenth
// of a second, and a start that finds them all costs nine lists. Objects whose
// annotation rbac.authorization.kubernetes.io/autoupdate is "false" are left
// alone; what users added to the others stays.
package bootstrap
