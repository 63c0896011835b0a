package server

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"
)

func TestAdviseOnDisk(t *testing.T) {
	c := Config{DataDir: "/srv/skiff"}
	full := fmt.Errorf("open the store: %w", &fs.PathError{Op: "write", Path: "/srv/skiff/x", Err: syscall.ENOSPC})
	want := "open the store: write /srv/skiff/x: no space left on device: nothing is lost, make room on the disk (`df -h /srv/skiff`) and start again"
	if got := c.adviseOnDisk(full); got.Error() != want || !errors.Is(got, full) {
		t.Errorf("%v, want %s", got, want)
	}
	for _, other := range []error{nil, errors.New("port in use")} {
		if got := c.adviseOnDisk(other); got != other {
			t.Errorf("%v became %v", other, got)
		}
	}
}
