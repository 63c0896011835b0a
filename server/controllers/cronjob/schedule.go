package cronjob

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
	batchv1 "k8s.io/api/batch/v1"
)

// schedule tells the next time after another one.
type schedule interface{ Next(time.Time) time.Time }

// parse reads a schedule in a time zone ("" for the server's own). The library
// panics on some malformed zones.
func parse(spec, zone string) (s schedule, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("invalid schedule format: %v", p)
		}
	}()
	if zone != "" && !strings.Contains(spec, "TZ") {
		spec = "TZ=" + zone + " " + spec
	}
	return cron.ParseStandard(spec)
}

// latest returns the last scheduled time that is not after now, and after the last
// start and since; zero if there is none; and how many were missed.
func latest(c *batchv1.CronJob, since, now time.Time, s schedule) (time.Time, int64) {
	from := c.CreationTimestamp.Time
	if c.Status.LastScheduleTime != nil {
		from = c.Status.LastScheduleTime.Time
	}
	if since.After(from) {
		from = since
	}
	if d := c.Spec.StartingDeadlineSeconds; d != nil {
		if earliest := now.Add(-time.Duration(*d) * time.Second); earliest.After(from) {
			from = earliest
		}
	}
	first := s.Next(from)
	if first.IsZero() || now.Before(first) {
		return time.Time{}, 0
	}
	second := s.Next(first)
	if second.IsZero() || now.Before(second) {
		return first, 1
	}
	// After a long absence there may be millions of times: jump near to now by
	// the distance of the first two, and look back further if that was too far
	// (schedules with gaps).
	gap := max(second.Sub(first), time.Second)
	missed := int64(now.Sub(first)/gap) + 1
	for back := gap; ; back *= 2 {
		start := now.Add(-back)
		if !start.After(first) {
			start = first.Add(-time.Second)
		}
		var last time.Time
		for t := s.Next(start); !t.IsZero() && !t.After(now); t = s.Next(t) {
			last = t
		}
		if !last.IsZero() {
			return last, missed
		}
	}
}

// jobName is unique for each minute of the schedule, so that no time is started
// twice.
func jobName(c *batchv1.CronJob, at time.Time) string {
	return fmt.Sprintf("%s-%d", c.Name, at.Unix()/60)
}
