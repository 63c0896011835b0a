package join

import (
	"log/slog"
	"time"
)

// reminder is how often it is said that a server cannot be reached.
const reminder = time.Minute

// reach tells whether servers answer: at once when none does, and once a minute
// while that lasts, with the reason; and when one answers again. This is for a box that
// joins: of a member's servers package offline tells.
type reach struct {
	log  *slog.Logger
	down bool
	said time.Time
}

func (r *reach) failed(server string, err error) {
	if r.down && time.Since(r.said) < reminder {
		return
	}
	r.down, r.said = true, time.Now()
	r.log.Warn("the server cannot be reached, trying on", "server", server, "err", err)
}

func (r *reach) ok(server string) {
	if r.down {
		r.log.Info("the server answers again", "server", server)
	}
	r.down = false
}
