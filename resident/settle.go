package resident

import (
	"log/slog"
	"time"
)

// settled is how long after Ready a start still goes on: informers fill, controllers
// and the node look at everything once, for some two seconds on a fast box.
const settled = 10 * time.Second

// Settle is called when a process is ready. It lets Release follow once, when the
// start has died down: what is released sooner comes back, with what is needed only then.
func Settle() { settle(Release) }

func settle(release func() error) {
	time.AfterFunc(settled, func() {
		if err := release(); err != nil {
			slog.Warn("memory that only the start needed stays in use", "err", err)
		}
	})
}
