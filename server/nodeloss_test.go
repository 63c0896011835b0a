package server

import (
	"errors"
	"testing"
	"time"

	"k8s.io/utils/ptr"
)

func TestNodeLoss(t *testing.T) {
	for _, tc := range []struct {
		given NodeLoss
		grace time.Duration
		err   string
	}{
		{NodeLoss{}, 40 * time.Second, ""},
		{NodeLoss{MonitorGrace: 4 * time.Second, NotReady: ptr.To[int64](0), Unreachable: ptr.To[int64](2)}, 4 * time.Second, ""},
		{NodeLoss{MonitorGrace: time.Second}, time.Second, "node-monitor-grace: 1s is not between 2s and 1h0m0s"},
		{NodeLoss{Unreachable: ptr.To[int64](-1)}, 40 * time.Second, "default-unreachable-toleration-seconds: -1 is less than 0"},
	} {
		l := tc.given
		text := ""
		if err := errors.Join(l.validate()...); err != nil {
			text = err.Error()
		}
		if text != tc.err || l.MonitorGrace != tc.grace {
			t.Errorf("%+v: grace %s, %q; want %s, %q", tc.given, l.MonitorGrace, text, tc.grace, tc.err)
		}
	}
	slow := NodeLoss{MonitorGrace: 10 * time.Minute}
	if c := slow.lifecycle(); c.StartupGrace != 10*time.Minute {
		t.Errorf("a node that never reported has %s", c.StartupGrace)
	}
}
