package backoff

import (
	"testing"
	"time"
)

func TestDelaysDoubleAndAreForgotten(t *testing.T) {
	b := New(10*time.Second, 5*time.Minute)
	now := time.Unix(1000, 0)
	if left := b.Remaining("a", now, now); left != 0 {
		t.Errorf("before the first failure: %v", left)
	}
	for _, want := range []time.Duration{10, 20, 40, 80, 160, 300, 300} {
		b.Next("a", now, now)
		if got := b.Delay("a"); got != want*time.Second {
			t.Errorf("delay %v, want %v", got, want*time.Second)
		}
		now = now.Add(want * time.Second)
	}
	// A failure that comes ten minutes after the last start begins anew.
	failed := now.Add(-300 * time.Second).Add(10*time.Minute + time.Second)
	if left := b.Remaining("a", failed, failed); left != 0 {
		t.Errorf("after a long peace: %v", left)
	}
	b.Next("a", failed, failed)
	if got := b.Delay("a"); got != 10*time.Second {
		t.Errorf("after a long peace the delay is %v", got)
	}
}

func TestRemainingCountsFromTheFailure(t *testing.T) {
	b := New(10*time.Second, 5*time.Minute)
	now := time.Unix(1000, 0)
	b.Next("pod/a", time.Time{}, now)
	b.Next("pod/b", time.Time{}, now)
	b.Next("other", time.Time{}, now)
	for since, want := range map[time.Time]time.Duration{
		{}:                       6 * time.Second, // the last Next
		now.Add(2 * time.Second): 8 * time.Second,
	} {
		if left := b.Remaining("pod/a", since, now.Add(4*time.Second)); left != want {
			t.Errorf("since %v: %v left, want %v", since, left, want)
		}
	}
	if left := b.Remaining("pod/a", time.Time{}, now.Add(11*time.Second)); left != 0 {
		t.Errorf("when the time is up: %v left", left)
	}
	b.ForgetPrefix("pod/")
	if b.Delay("pod/a") != 0 || b.Delay("pod/b") != 0 || b.Delay("other") == 0 {
		t.Error("the wrong keys were forgotten")
	}
	b.Forget("other")
	if b.Delay("other") != 0 {
		t.Error("a forgotten key has a delay")
	}
}
