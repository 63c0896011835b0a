package host

// StartAgent runs `skiff agent` with further flags, which makes the host a node
// of the server's cluster, and returns when it has told that it is ready.
func (h *Host) StartAgent(server *Host, flags ...string) {
	h.t.Helper()
	h.LaunchAgent(server, flags...)
	h.AwaitReady()
}

// LaunchAgent runs `skiff agent` with further flags, of which those for the
// server and the token replace the ones that the server of the host would print,
// and does not wait.
func (h *Host) LaunchAgent(server *Host, flags ...string) {
	h.t.Helper()
	h.launch("agent", append([]string{"--server", server.URL(), "--token", server.Token()}, flags...))
}
