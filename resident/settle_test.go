package resident

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestSettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		released := 0
		settle(func() error { released++; return errors.New("a kernel without /proc") })
		time.Sleep(settled - time.Nanosecond)
		synctest.Wait()
		if released != 0 {
			t.Error("released while the start goes on")
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if released != 1 {
			t.Errorf("released %d times, want once", released)
		}
	})
}
