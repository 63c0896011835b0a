// Package attach connects a network namespace to a bridge of the host, and
// takes it off again, over netlink alone.
//
//	spec := attach.Spec{Bridge: "skiff0", NetNS: path, IfName: "eth0", ...}
//	res, err := attach.Add(spec)
//	err = attach.Del(containerID, ifName)
package attach
