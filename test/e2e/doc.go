// Package e2e tests the built skiff as its users meet it: the binary that `make
// build` made, with real containers and its own kubectl, on hosts that package
// host makes. It has no code but tests.
//
// The scripts in testdata/script run on one server at the same time, each in a
// Kubernetes namespace of its own; see script_test.go for their commands. What
// starts, stops, breaks or removes a server is a Go test with a host of its own.
package e2e
