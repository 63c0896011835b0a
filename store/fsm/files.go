package fsm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	berrors "go.etcd.io/bbolt/errors"
)

func (f *FSM) statePath() string { return filepath.Join(f.cfg.Dir, "state.db") }

func fileSize(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// openMark reads the mark, tells whether the state file is to be trusted, and
// leaves a mark for this boot.
func (f *FSM) openMark() (trusted bool, err error) {
	old, err := readMark(f.markPath)
	if err != nil {
		return false, fmt.Errorf("open the state: %w", err)
	}
	f.mark = mark{Format: formatVersion, Cluster: f.cfg.Cluster, Boot: f.cfg.Boot}
	if old == nil {
		f.mark.Jump = !f.cfg.Fresh
		return false, f.writeMark()
	}
	if err := old.check(f.markPath, f.cfg.Cluster); err != nil {
		return false, err
	}
	trusted = old.Clean || (old.Boot == f.cfg.Boot && f.cfg.Boot != "")
	f.mark.Jump = old.Jump || !trusted
	if *old == f.mark {
		return trusted, nil
	}
	return trusted, f.writeMark()
}

func (f *FSM) writeMark() error {
	if err := f.mark.write(f.markPath); err != nil {
		return fmt.Errorf("mark the state file: %w", err)
	}
	return nil
}

// NeedsAdvance tells that a power cut may have lost volatile changes which
// readers have seen: the revision has to move past theirs, by a KindAdvance.
func (f *FSM) NeedsAdvance() bool { return f.mark.Jump }

// Advanced tells that this has happened, durably.
func (f *FSM) Advanced() error {
	f.mark.Jump = false
	return f.writeMark()
}

// openState opens the state file, or begins a new one.
func (f *FSM) openState(trusted bool) (position, error) {
	if !trusted {
		if err := removeIfThere(f.statePath()); err != nil {
			return position{}, err
		}
	}
	back, pos, err := openBackend(f.statePath())
	if damaged(err) {
		f.cfg.Logger.Warn("the store's state file is damaged; rebuilding it from the raft log", "err", err)
		if err := removeIfThere(f.statePath()); err != nil {
			return position{}, err
		}
		back, pos, err = openBackend(f.statePath())
	}
	f.back = back
	return pos, err
}

func damaged(err error) bool {
	return errors.Is(err, berrors.ErrInvalid) || errors.Is(err, berrors.ErrChecksum) || errors.Is(err, berrors.ErrVersionMismatch)
}

// Discard begins a new state file, which the whole log is then applied to. It
// must not be called once raft runs.
func (f *FSM) Discard() error {
	f.flusher.stop()
	if err := f.back.close(); err != nil {
		return fmt.Errorf("discard the state file: %w", err)
	}
	pos, err := f.openState(false)
	if err != nil {
		return err
	}
	f.reset(pos)
	return nil
}

func (f *FSM) reset(pos position) {
	f.adopt(pos)
	f.state.Reset(f.back, pos.revision)
	f.flusher.start(f.back, f.cfg.Logger)
}

// replaceState makes a new state file of a snapshot. The old one stays until the
// new one is whole.
func (f *FSM) replaceState(r *reader) error {
	path := f.statePath() + ".new"
	if err := removeIfThere(path); err != nil {
		return err
	}
	back, _, err := openBackend(path)
	if err != nil {
		return err
	}
	if err := r.load(back.db); err != nil {
		return errors.Join(err, back.close(), os.Remove(path))
	}
	f.flusher.stop()
	old := f.back
	f.back = back
	f.reset(position{revision: r.revision})
	if err := old.close(); err != nil {
		return err
	}
	return os.Rename(path, f.statePath())
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
