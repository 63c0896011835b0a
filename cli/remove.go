package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"

	"skiff/datadir"
	"skiff/runtime/containerd"
	"skiff/runtime/instance"
)

// mustBeOurs returns the marker of a data folder, nil if there is nothing in the
// folder, or no folder. It refuses one that holds something else: a mistyped --data-dir must
// not cost a home or a root file system.
func mustBeOurs(dir string) (*datadir.Marker, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("uninstall: %w", err)
	}
	marker, err := datadir.ReadMarker(dir)
	if err != nil {
		return nil, fmt.Errorf("uninstall: %w", err)
	}
	if marker == nil && slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return !slices.Contains(keepLast, e.Name()) }) {
		return nil, usagef("uninstall: %s is not a data folder of skiff, its file `version` is missing; nothing was removed", dir)
	}
	return marker, nil // nil of a folder whose first start came no further
}

// remover removes what was made for a data folder.
type remover struct {
	dir string
	// marker is nil for a folder that is empty or not there: then what may be
	// left outside of it is removed.
	marker *datadir.Marker
	// kubeconfig is where the credentials are if there is no marker.
	kubeconfig string
	// removeService removes the rules for services, and addresses, from where this
	// process is.
	removeService func(clusterDNS []netip.Addr) error
	// notes are what the user should know of what was left.
	notes []string
}

// run goes on after an error, so that a second run has less to do. The data
// folder stays while something may still be mounted below it: what is removed
// through a mount is not skiff's.
func (r *remover) run(ctx context.Context) error {
	purged := containerd.Purge(ctx, containerd.PurgeFor(r.dir))
	errs := []error{purged, r.removeRules()}
	if purged == nil {
		errs = append(errs, r.removeDataDir())
	}
	if errors.Join(errs...) == nil {
		errs = append(errs, r.removeOutside())
	}
	return errors.Join(errs...)
}

// removeRules removes the addresses, routes and rules for services, whose names
// tell nothing of the instance: only at the place where it worked.
func (r *remover) removeRules() error {
	switch m := r.marker; {
	case m == nil && r.dir != instance.DefaultDataDir:
		return nil // another instance may have made those that are here
	case m == nil:
		return r.removeService(nil)
	case m.Place.Gone():
		return nil // the boot that had them has ended
	case !m.Place.Here():
		r.notes = append(r.notes, "its service rules, if they are still there, are in another network namespace, "+m.Place.Network)
		return nil
	default:
		return r.removeService(m.ClusterDNS)
	}
}

// keepLast are what a data folder is known by.
var keepLast = []string{"lock", "version"}

// removeDataDir removes what a data folder is known by last, and only if the rest
// could be removed, so that a second run still knows it.
func (r *remover) removeDataDir() error {
	entries, err := os.ReadDir(r.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	mounted, err := mountsIn(r.dir)
	if err != nil || len(mounted) > 0 {
		return errors.Join(err, fmt.Errorf("%s are mounts that skiff did not make: unmount them, and run it again", strings.Join(mounted, ", ")))
	}
	var errs []error
	for _, e := range entries {
		if !slices.Contains(keepLast, e.Name()) && !r.foreign(e.Name()) {
			errs = append(errs, os.RemoveAll(filepath.Join(r.dir, e.Name())))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, name := range keepLast {
		errs = append(errs, os.RemoveAll(filepath.Join(r.dir, name)))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return r.removeEmptied()
}

// foreign tells whether something was in the folder before it became skiff's.
func (r *remover) foreign(name string) bool {
	return r.marker != nil && slices.Contains(r.marker.Foreign, name)
}

// removeEmptied removes the data folder itself, unless it holds what is not
// skiff's, or is where a disk is mounted.
func (r *remover) removeEmptied() error {
	left, err := os.ReadDir(r.dir)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		var names []string
		for _, e := range left {
			names = append(names, e.Name())
		}
		r.notes = append(r.notes, fmt.Sprintf("%s keeps what was in it before: %s", r.dir, strings.Join(names, ", ")))
		return nil
	}
	if mounted, err := mountinfo.Mounted(r.dir); err != nil || mounted {
		r.notes = append(r.notes, r.dir+" stays, it is where a disk is mounted")
		return err
	}
	return os.Remove(r.dir)
}

// removeOutside removes what was made outside of the data folder, and the parent
// of the instances' folders in /run after the last of them.
func (r *remover) removeOutside() error {
	made := []string{filepath.Dir(instance.Of(r.dir).RunDir())}
	if r.marker != nil {
		made = append(made, r.marker.Made...)
	} else if r.kubeconfig != "" && r.dir == instance.DefaultDataDir {
		made = append(made, r.kubeconfig)
	}
	return datadir.RemoveMade(made)
}

func (r *remover) report(w io.Writer) {
	if r.marker == nil {
		fmt.Fprintf(w, "%s had nothing of skiff in it; what was left outside of it is removed\n", r.dir)
		return
	}
	fmt.Fprintf(w, "removed %s and all that ran from it\n", described(r.dir, r.marker))
	if r.marker.ServedBy() == datadir.Agent {
		r.notes = append(r.notes, fmt.Sprintf("its cluster still has the node; to have it forgotten, on the server: skiff kubectl delete node %s", r.marker.Node))
	}
	if r.marker.RuntimeEndpoint != "" {
		r.notes = append(r.notes, "the containers are in another runtime, end them there: "+r.marker.RuntimeEndpoint)
	}
	for _, note := range r.notes {
		fmt.Fprintln(w, note)
	}
}

// mountsIn lists the mounts below a folder.
func mountsIn(dir string) ([]string, error) {
	infos, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	var points []string
	for _, i := range infos {
		if i.Mountpoint != dir {
			points = append(points, i.Mountpoint)
		}
	}
	return points, nil
}
