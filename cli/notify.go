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
	stop chan struct{}
	wg   sync.WaitGroup
	once sync.Once
}

func newNotifier() *notifier { return &notifier{stop: make(chan struct{})} }

func (n *notifier) ready(status string, healthy func() error) {
	n.send(daemon.SdNotifyReady + "\nSTATUS=" + status)
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		slog.Warn("systemd's watchdog is not fed", "err", err)
	}
	if interval > 0 {
		n.wg.Go(func() { n.feed(interval/2, healthy) })
	}
}

func (n *notifier) feed(every time.Duration, healthy func() error) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-n.stop:
			return
		case <-ticker.C:
			if err := healthy(); err != nil {
				slog.Error("not feeding systemd's watchdog", "err", err)
				continue
			}
			n.send(daemon.SdNotifyWatchdog)
		}
	}
}

func (n *notifier) stopping() { n.send(daemon.SdNotifyStopping) }

func (n *notifier) close() {
	n.once.Do(func() { close(n.stop) })
	n.wg.Wait()
}

func (n *notifier) send(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		slog.Warn("cannot notify systemd", "err", err)
	}
}
