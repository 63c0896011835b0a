// Package agent is Skiff's kubelet: it registers a node with the API server and
// runs the pods that are bound to it, on any runtime that speaks the CRI.
//
//	a, err := agent.New(agent.Config{NodeName: "box", DataDir: "/var/lib/skiff/agent", NodeIPs: ips}, agent.Deps{
//		Client: client, Runtime: rt, Images: images,
//	})
//	err = a.Run(ctx) // until ctx ends; containers keep running
//
// What it is made of: pod (the state machine of a pod), volume, image, probe,
// cgroup, container (the translation to CRI), objects (config maps and secrets),
// logs, stats, and api (the node's HTTPS API). This package wires them and keeps
// the Node object and its lease.
package agent
