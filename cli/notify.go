package cli

import (
	"log/slog"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// notifier tells systemd about readiness, and feeds its watchdog as long as the
// process is healthy. Outside of systemd it does nothing. See sd_notify(3).
type notifier struct {
	// notify sends a message.
	notify func(state string) error
	stop   chan struct{}
	wg     sync.WaitGroup
	once   sync.Once
}

func newNotifier() *notifier {
	return &notifier{stop: make(chan struct{}), notify: func(state string) error {
		_, err := daemon.SdNotify(false, state)
		return err
	}}
}

// status is what `systemctl status` shows.
func (n *notifier) status(text string) { n.send("STATUS=" + text) }

// ready tells that the start has succeeded. From then on the watchdog is fed
// while healthy returns nil; a process that stays unhealthy is started anew by
// systemd.
func (n *notifier) ready(status string, healthy func() error) {
	n.send(daemon.SdNotifyReady + "\nSTATUS=" + status)
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		slog.Warn("systemd's watchdog is not fed", "err", err)
	}
	if interval > 0 {
		n.wg.Go(func() { n.feed(interval, healthy) })
	}
}

// feed reports at half the interval in which systemd wants to hear something.
func (n *notifier) feed(interval time.Duration, healthy func() error) {
	ticker := time.NewTicker(interval / 2)
	defer ticker.Stop()
	for {
		if err := healthy(); err != nil {
			slog.Error("not feeding systemd's watchdog", "err", err)
		} else {
			n.send(daemon.SdNotifyWatchdog)
		}
		select {
		case <-n.stop:
			return
		case <-ticker.C:
		}
	}
}

// stopping also ends the feeding: from here on systemd bounds the time to stop,
// and the parts that healthy asks are going.
func (n *notifier) stopping() {
	n.once.Do(func() { close(n.stop) })
	n.send(daemon.SdNotifyStopping + "\nSTATUS=stopping; containers run on")
}

func (n *notifier) close() {
	n.once.Do(func() { close(n.stop) })
	n.wg.Wait()
}

func (n *notifier) send(state string) {
	if err := n.notify(state); err != nil {
		slog.Warn("cannot notify systemd", "err", err)
	}
}
