package cli

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestStopInTime(t *testing.T) {
	failed := errors.New("failed")
	takes := func(d time.Duration, err error) func(context.Context) error {
		return func(ctx context.Context) error {
			<-ctx.Done()
			time.Sleep(d)
			return err
		}
	}
	for name, tc := range map[string]struct {
		run  func(context.Context) error
		want string
	}{
		"in time":                   {takes(8*time.Second, nil), ""},
		"with an error":             {takes(time.Second, failed), "failed"},
		"too late":                  {takes(20*time.Second, nil), "not all of it stopped within 9s"},
		"by itself, before the end": {func(context.Context) error { return failed }, "failed"},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			err := stopInTime(ctx, stopPatience, tc.run)
			if got := ""; err != nil {
				got = err.Error()
				if tc.want == "" || !strings.HasPrefix(got, tc.want) {
					t.Errorf("%s: %v", name, err)
				}
			} else if tc.want != "" {
				t.Errorf("%s: no error, want %q", name, tc.want)
			}
			time.Sleep(time.Minute) // whatever still runs ends
		})
	}
}
