package host

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/moby/sys/mountinfo"
)

// view is a mount namespace of a host's own, in which a file is in the place of
// the machine's resolver configuration. A process holds it as long as the host
// has power, so that each run of skiff finds what the ones before have mounted.
// It ends with this process, however that ends.
type view struct {
	resolvConf string
	holder     *exec.Cmd
	// held keeps the holder waiting until it is closed.
	held io.Closer
}

// newView makes a view of the machine's mounts. Those that come and go later do
// so in it as well; none of its own gets out.
func newView(resolvConf string) (*view, error) {
	const script = `mount --bind "$0" /etc/resolv.conf && echo held && exec cat`
	holder := exec.Command("unshare", "--mount", "--propagation", "slave", "sh", "-c", script, resolvConf)
	var stderr bytes.Buffer
	holder.Stderr = &stderr
	held, err := holder.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := holder.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := holder.Start(); err != nil {
		return nil, fmt.Errorf("hold a mount namespace: %w", err)
	}
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		return nil, fmt.Errorf("make a mount namespace: %w\n%s", holder.Wait(), &stderr)
	}
	return &view{resolvConf: resolvConf, holder: holder, held: held}, nil
}

// renew replaces the view by one that has nothing of what was mounted in it.
func (v *view) renew() error {
	err := v.end()
	if err != nil {
		return err
	}
	fresh, err := newView(v.resolvConf)
	if err == nil {
		*v = *fresh
	}
	return err
}

// end lets go of the view. It is gone with the last process that is in it.
func (v *view) end() error {
	if err := errors.Join(v.held.Close(), v.holder.Wait()); err != nil {
		return fmt.Errorf("let go of a mount namespace: %w", err)
	}
	return nil
}

// proc is a file of the holder's in /proc.
func (v *view) proc(name string) string {
	return filepath.Join("/proc", strconv.Itoa(v.holder.Process.Pid), name)
}

func (v *view) mounts(filter mountinfo.FilterFunc) ([]*mountinfo.Info, error) {
	table, err := os.Open(v.proc("mountinfo"))
	if err != nil {
		return nil, err
	}
	defer table.Close()
	return mountinfo.GetMountsFromReader(table, filter)
}
