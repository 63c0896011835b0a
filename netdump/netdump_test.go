package netdump

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
)

func TestWhole(t *testing.T) {
	broken := errors.New("no permission")
	for what, c := range map[string]struct {
		answers []error // the last one stands for all further ones
		err     error
		asked   int
	}{
		"undisturbed":       {[]error{nil}, nil, 1},
		"disturbed twice":   {[]error{netlink.ErrDumpInterrupted, fmt.Errorf("list: %w", netlink.ErrDumpInterrupted), nil}, nil, 3},
		"another error":     {[]error{broken}, broken, 1},
		"disturbed forever": {[]error{netlink.ErrDumpInterrupted}, netlink.ErrDumpInterrupted, attempts},
	} {
		asked := 0
		got, err := Whole(func() ([]int, error) {
			answer := c.answers[min(asked, len(c.answers)-1)]
			asked++
			return []int{asked}, answer
		})
		if !errors.Is(err, c.err) || asked != c.asked || !slices.Equal(got, []int{asked}) {
			t.Errorf("%s: %v, %v after %d questions; want error %v after %d", what, got, err, asked, c.err, c.asked)
		}
	}
}
