// Command skiff-cni is the built-in CNI plugin: see package cni for what it
// does. The container runtime runs it once per pod and operation, with the
// configuration on standard input and the rest in CNI_ variables, as the CNI
// specification (1.1) says.
package main

import (
	"runtime"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/version"
)

func main() {
	// A network namespace is entered by thread.
	runtime.LockOSThread()
	skel.PluginMainFuncs(skel.CNIFuncs{
		Add:    add,
		Del:    del,
		Check:  check,
		GC:     gc,
		Status: status,
	}, version.PluginSupports("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"), "skiff-cni: the pod network of a skiff node")
}
