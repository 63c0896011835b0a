package server

import (
	"errors"
	"fmt"
	"syscall"
)

// adviseOnDisk adds to an error that a full disk has caused what to do. What was
// acknowledged is on the disk, and a start that failed is tried again from there.
func (c *Config) adviseOnDisk(err error) error {
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return err
	}
	return fmt.Errorf("%w: nothing is lost, make room on the disk (`df -h %s`) and start again", err, c.DataDir)
}
