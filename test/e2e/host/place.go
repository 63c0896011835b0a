package host

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// prefix begins the name of each folder and namespace that this package makes.
const prefix = "ske-"

// place is a folder and the network namespace of the same name. The folder is
// locked as long as the process lives that made it, which tells others that it
// is in use.
type place struct {
	name, dir string
	lock      *os.File
	// view is nil if the mounts are the machine's own.
	view *view
}

func newPlace(t testing.TB) *place {
	t.Helper()
	for {
		dir, err := os.MkdirTemp("", prefix)
		if err != nil {
			t.Fatal(err)
		}
		p, err := lockPlace(dir)
		if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, os.ErrNotExist) {
			continue // another process took it for one that was left behind
		}
		if err == nil {
			err = p.makeNamespace()
		}
		if err != nil {
			os.RemoveAll(dir)
			t.Fatalf("make a host: %v", err)
		}
		return p
	}
}

// lockPlace takes a folder over that no living process holds.
func lockPlace(dir string) (*place, error) {
	lock, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return &place{name: filepath.Base(dir), dir: dir, lock: lock}, nil
}

func (p *place) dataDir() string    { return filepath.Join(p.dir, "data") }
func (p *place) kubeconfig() string { return filepath.Join(p.dir, "kubeconfig.yaml") }
func (p *place) configFile() string { return filepath.Join(p.dir, "config.yaml") }

// writeConfig tells skiff where it is.
func (p *place) writeConfig(nodeName string) error {
	text := fmt.Sprintf("data-dir: %s\nwrite-kubeconfig: %s\nnode-name: %s\n", p.dataDir(), p.kubeconfig(), nodeName)
	return errors.Join(os.WriteFile(p.configFile(), []byte(text), 0o600), os.MkdirAll(p.home(), 0o700))
}

// home is that of the commands which run on the host: kubectl keeps files there.
func (p *place) home() string { return filepath.Join(p.dir, "home") }

// environ is this process's without what would speak to skiff or to kubectl.
func (p *place) environ() []string {
	env := []string{"HOME=" + p.home(), "SKIFF_CONFIG=" + p.configFile()}
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		switch {
		case strings.HasPrefix(name, "SKIFF_"), name == "HOME", name == "KUBECONFIG", name == "NOTIFY_SOCKET", name == "WATCHDOG_USEC":
		default:
			env = append(env, e)
		}
	}
	return env
}

// installed tells whether a server or an agent ever ran from the data folder.
func (p *place) installed() bool {
	_, err := os.Stat(filepath.Join(p.dataDir(), "version"))
	return err == nil
}

func (p *place) uninstall(binary string) error {
	cmd := exec.Command("nsenter", p.enter(binary, "uninstall", "--yes")...)
	cmd.Env = p.environ()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("skiff uninstall: %w\n%s", err, out)
	}
	return nil
}

// enter is what nsenter(1) is told to run a command in the namespaces. The `ip
// netns exec` of iproute2 would not do: it hides the cgroups.
func (p *place) enter(name string, args ...string) []string {
	command := append([]string{"--", name}, args...)
	if p.view != nil {
		command = append([]string{"--mount=" + p.view.proc("ns/mnt")}, command...)
	}
	return append([]string{"--net=" + p.namespacePath()}, command...)
}

// mounts are the mount points that a filter leaves, as the place has them.
func (p *place) mounts(filter mountinfo.FilterFunc) ([]*mountinfo.Info, error) {
	if p.view != nil {
		return p.view.mounts(filter)
	}
	return mountinfo.GetMounts(filter)
}

// setResolvConf gives the place mounts of its own, with that resolver
// configuration.
func (p *place) setResolvConf(text string) (err error) {
	path := filepath.Join(p.dir, "resolv.conf")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return err
	}
	p.view, err = newView(path)
	return err
}

// mountDataDir gives the data folder a small disk, kept in memory.
func (p *place) mountDataDir(size int64) error {
	if err := os.Mkdir(p.dataDir(), 0o700); err != nil {
		return err
	}
	if err := unix.Mount("skiff-test", p.dataDir(), "tmpfs", 0, fmt.Sprintf("size=%d,mode=700", size)); err != nil {
		return fmt.Errorf("mount a disk for %s: %w", p.dataDir(), err)
	}
	return nil
}

func (p *place) remove() error {
	defer p.lock.Close()
	var ended error
	if p.view != nil {
		ended = p.view.end()
	}
	if err := unix.Unmount(p.dataDir(), 0); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return errors.Join(ended, fmt.Errorf("unmount %s: %w", p.dataDir(), err))
	}
	return errors.Join(ended, p.deleteNamespace(), os.RemoveAll(p.dir))
}

var sweep sync.Once

// sweepOnce removes what test runs left behind that were killed.
func sweepOnce(t testing.TB, binary string) {
	sweep.Do(func() {
		dirs, err := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range dirs {
			p, err := lockPlace(dir)
			if err != nil {
				continue // its process lives
			}
			t.Logf("removing %s, which an earlier run left behind", dir)
			if err := p.removeDead(binary); err != nil {
				t.Logf("cannot remove all of it: %v", err)
			}
		}
	})
}

// removeDead ends what runs in a dead process's place, and removes it.
func (p *place) removeDead(binary string) error {
	var errs []error
	pids, err := p.processes()
	errs = append(errs, err)
	for _, pid := range pids {
		errs = append(errs, unix.Kill(pid, unix.SIGKILL))
	}
	if p.installed() {
		errs = append(errs, p.uninstall(binary))
	}
	return errors.Join(append(errs, p.remove())...)
}
