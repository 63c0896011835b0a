package server

import (
	"fmt"
	"time"

	"skiff/server/admission/tolerationseconds"
	"skiff/server/controllers/nodelifecycle"
)

const (
	// defaultMonitorGrace is upstream's.
	defaultMonitorGrace = 40 * time.Second
	// leastMonitorGrace leaves a node four renewals of half a second: less is lost
	// in the pauses of a small box.
	leastMonitorGrace = 2 * time.Second
	mostMonitorGrace  = time.Hour
)

// NodeLoss says when a node counts as lost, and how soon its pods are given up.
type NodeLoss struct {
	// MonitorGrace is how long a node may be silent (0: 40 s). Nodes tell that
	// they live four times in it.
	MonitorGrace time.Duration
	// NotReady and Unreachable are how many seconds pods stay on a node that is
	// not ready, or silent, where they do not say it themselves; nil is 300.
	NotReady, Unreachable *int64
}

// validate fills what was left open and returns every mistake.
func (l *NodeLoss) validate() (errs []error) {
	if l.MonitorGrace == 0 {
		l.MonitorGrace = defaultMonitorGrace
	}
	if l.MonitorGrace < leastMonitorGrace || l.MonitorGrace > mostMonitorGrace {
		errs = append(errs, fmt.Errorf("node-monitor-grace: %s is not between %s and %s", l.MonitorGrace, leastMonitorGrace, mostMonitorGrace))
	}
	for flag, s := range map[string]*int64{"default-not-ready-toleration-seconds": l.NotReady, "default-unreachable-toleration-seconds": l.Unreachable} {
		if s != nil && *s < 0 {
			errs = append(errs, fmt.Errorf("%s: %d is less than 0", flag, *s))
		}
	}
	return errs
}

// lifecycle are the times by which nodes are watched. A node that never reported
// has at least as long as one that did.
func (l *NodeLoss) lifecycle() nodelifecycle.Config {
	return nodelifecycle.Config{MonitorGrace: l.MonitorGrace, StartupGrace: max(time.Minute, l.MonitorGrace)}
}

// tolerations are the defaults of pods.
func (l *NodeLoss) tolerations() tolerationseconds.Plugin {
	return tolerationseconds.Plugin{NotReady: l.NotReady, Unreachable: l.Unreachable}
}
