package server

import "time"

// Observer is told how a start goes on; a terminal shows it to the user, and a
// service manager waits for it.
type Observer interface {
	// Step tells that part of the start took so long, successfully.
	Step(what string, took time.Duration)
	// Ready tells that the cluster serves and this box's node, if it is one, is
	// Ready.
	Ready(Summary)
	// Stopping tells that the shutdown begins.
	Stopping()
}

// Summary is what a user needs to know of a server that is ready.
type Summary struct {
	// Node is the node's name, "" without an agent.
	Node string
	// URL is where clients reach the API.
	URL string
	// Kubeconfig is the file with the administrator's credentials, "" if none was
	// written.
	Kubeconfig string
	// Token is what agents join with, and TokenFile where it is kept.
	Token, TokenFile string
	// Took is the time from the process's start.
	Took time.Duration
	// Healthy returns what is wrong with the process, if anything is.
	Healthy func() error
}
