package cli

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// TestFeed: the watchdog hears of a healthy process at half its interval, of an
// unhealthy one nothing, and nothing after the stop has begun.
func TestFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent []time.Duration
		begin := time.Now()
		n := newNotifier()
		n.notify = func(state string) error {
			if state == daemon.SdNotifyWatchdog {
				sent = append(sent, time.Since(begin))
			}
			return nil
		}
		n.wg.Go(func() {
			n.feed(60*time.Second, func() error {
				if at := time.Since(begin); at >= time.Minute && at < 2*time.Minute {
					return errors.New("the store does not answer")
				}
				return nil
			})
		})
		time.Sleep(165 * time.Second)
		n.stopping()
		time.Sleep(time.Hour)
		n.close()
		if want := []time.Duration{0, 30 * time.Second, 120 * time.Second, 150 * time.Second}; !slices.Equal(sent, want) {
			t.Errorf("fed at %v, want %v", sent, want)
		}
	})
}

func TestReadyWithoutWatchdog(t *testing.T) {
	t.Setenv("WATCHDOG_USEC", "10000000")
	t.Setenv("WATCHDOG_PID", "1")
	var sent []string
	n := newNotifier()
	n.notify = func(state string) error {
		sent = append(sent, state)
		return nil
	}
	n.ready("serving", func() error {
		t.Error("asked for its health, though the watchdog is another process's")
		return nil
	})
	n.close()
	if len(sent) != 1 || !strings.HasPrefix(sent[0], "READY=1\n") {
		t.Errorf("sent %q", sent)
	}
}
