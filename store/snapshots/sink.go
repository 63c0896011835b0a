package snapshots

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"

	"skiff/atomicfile"
)

// Create implements raft.SnapshotStore. One snapshot is written at a time.
func (s *Store) Create(v raft.SnapshotVersion, index, term uint64, configuration raft.Configuration, configurationIndex uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	if v != raft.SnapshotVersionMax {
		return nil, fmt.Errorf("create a snapshot: version %d is not supported", v)
	}
	path := filepath.Join(s.dir, tmpName)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create a snapshot: %w", err)
	}
	if _, err := f.Seek(headerSize, io.SeekStart); err != nil {
		return nil, errors.Join(fmt.Errorf("create a snapshot: %w", err), f.Close())
	}
	return &sink{
		store: s, file: f, path: path, out: bufio.NewWriterSize(f, 64<<10),
		meta: raft.SnapshotMeta{
			// With leading zeros, so that the order of the names is that of age.
			ID:      fmt.Sprintf("%020d-%020d", term, index),
			Version: v, Index: index, Term: term,
			Configuration: configuration, ConfigurationIndex: configurationIndex,
		},
	}, nil
}

// sink is a raft.SnapshotSink: a file that gets its name when it is whole.
type sink struct {
	store *Store
	file  *os.File
	path  string
	out   *bufio.Writer
	meta  raft.SnapshotMeta
	done  bool
}

// ID implements raft.SnapshotSink.
func (k *sink) ID() string { return k.meta.ID }

// Write implements io.Writer.
func (k *sink) Write(b []byte) (int, error) {
	n, err := k.out.Write(b)
	k.meta.Size += int64(n)
	return n, err
}

// Close implements raft.SnapshotSink: the snapshot is on the disk, and older
// ones are gone, when it returns. A second call does nothing.
func (k *sink) Close() error {
	if k.done {
		return nil
	}
	if err := k.finish(); err != nil {
		return errors.Join(fmt.Errorf("write a snapshot: %w", err), k.Cancel())
	}
	k.done = true
	k.store.mu.Lock()
	defer k.store.mu.Unlock()
	name := k.meta.ID + extension
	if err := os.Rename(k.path, filepath.Join(k.store.dir, name)); err != nil {
		return fmt.Errorf("write a snapshot: %w", err)
	}
	if err := atomicfile.SyncDir(k.store.dir); err != nil {
		return fmt.Errorf("write a snapshot: %w", err)
	}
	if err := k.store.removeAllBut(name); err != nil {
		return fmt.Errorf("remove old snapshots: %w", err)
	}
	return nil
}

func (k *sink) finish() error {
	header, err := encodeHeader(&k.meta)
	if err != nil {
		return err
	}
	if err := k.out.Flush(); err != nil {
		return err
	}
	if _, err := k.file.WriteAt(header, 0); err != nil {
		return err
	}
	if err := k.file.Sync(); err != nil {
		return err
	}
	return k.file.Close()
}

// Cancel implements raft.SnapshotSink.
func (k *sink) Cancel() error {
	if k.done {
		return nil
	}
	k.done = true
	_ = k.file.Close() // may be closed already
	return os.Remove(k.path)
}
