package agent

import (
	"time"

	"skiff/agent/backoff"
)

// away tells that the API server does not answer, and that the log says so.
func (a *Agent) away() bool { return a.deps.Memory != nil && a.deps.Memory.Away() }

// complain logs why something that needs the API server fails, once a minute. What
// the server's absence explains has been told as that.
func (a *Agent) complain(said *backoff.Seldom, text string, err error) {
	if !a.away() && said.Due(time.Minute) {
		a.log.Warn(text, "node", a.cfg.NodeName, "err", err)
	}
}

// readyAlone tells whether the node does all that it can without the API server: it
// knows itself from an earlier run, and its runtime runs pods.
func (a *Agent) readyAlone() bool {
	if !a.away() {
		return false
	}
	s := a.runtime.Load()
	if s.down != nil || s.network != nil {
		return false
	}
	_, err := a.Node()
	return err == nil
}
