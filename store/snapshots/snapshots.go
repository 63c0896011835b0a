// Package snapshots keeps Raft snapshots on disk: it implements
// raft.SnapshotStore of hashicorp/raft, with one file per snapshot and only the
// newest one kept.
//
// raft.FileSnapshotStore is not used because a power cut can leave it with a
// directory whose metadata is gone, and because what a killed process left
// unfinished stays there forever.
package snapshots

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/hashicorp/raft"
)

// A file is a header of headerSize bytes, then the snapshot. The header is:
// magic, format version (1), length of the metadata (4), their crc32c (4), and
// the metadata as JSON.
const (
	headerSize = 16 << 10
	magic      = "SKFR"
	version    = 1
	prefixSize = len(magic) + 1 + 4 + 4

	extension = ".snap"
	tmpName   = "unfinished.tmp"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Store is a raft.SnapshotStore.
type Store struct {
	dir string
	mu  sync.Mutex
}

var _ raft.SnapshotStore = (*Store)(nil)

// Open opens the snapshots in dir, made if it is not there, and removes what an
// earlier process left unfinished.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the snapshots: %w", err)
	}
	s := &Store{dir: dir}
	newest, err := s.newest()
	if err != nil {
		return nil, err
	}
	if err := s.removeAllBut(newest); err != nil {
		return nil, fmt.Errorf("remove old snapshots: %w", err)
	}
	return s, nil
}

// names returns the names of the snapshots; the order of names is that of age.
func (s *Store) names() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), extension) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func (s *Store) newest() (string, error) {
	names, err := s.names()
	if err != nil || len(names) == 0 {
		return "", err
	}
	return names[len(names)-1], nil
}

func (s *Store) removeAllBut(keep string) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		if name != keep && (strings.HasSuffix(name, extension) || name == tmpName) {
			if err := os.Remove(filepath.Join(s.dir, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// List implements raft.SnapshotStore: the newest snapshot, if there is one.
func (s *Store) List() ([]*raft.SnapshotMeta, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name, err := s.newest()
	if err != nil || name == "" {
		return nil, err
	}
	meta, f, err := s.open(name)
	if err != nil {
		return nil, err
	}
	return []*raft.SnapshotMeta{meta}, f.Close()
}

// Open implements raft.SnapshotStore.
func (s *Store) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open(id + extension)
}

func (s *Store) open(name string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	path := filepath.Join(s.dir, name)
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("open a snapshot: %w", err)
	}
	meta, err := readHeader(f)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open the snapshot %s: %w", path, err), f.Close())
	}
	meta.ID = strings.TrimSuffix(name, extension)
	return meta, f, nil
}

func readHeader(f *os.File) (*raft.SnapshotMeta, error) {
	buf := make([]byte, headerSize)
	if _, err := io.ReadFull(f, buf); err != nil {
		return nil, fmt.Errorf("read its header: %w", err)
	}
	if string(buf[:len(magic)]) != magic {
		return nil, errors.New("it is not a snapshot")
	}
	if v := buf[len(magic)]; v > version {
		return nil, fmt.Errorf("it has format version %d, this skiff knows up to %d: start the newer version that wrote it", v, version)
	}
	n := binary.LittleEndian.Uint32(buf[len(magic)+1:])
	if int(n) > headerSize-prefixSize {
		return nil, errors.New("its header is damaged")
	}
	body := buf[prefixSize : prefixSize+int(n)]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(buf[len(magic)+5:]) {
		return nil, errors.New("its header is damaged")
	}
	meta := new(raft.SnapshotMeta)
	if err := json.Unmarshal(body, meta); err != nil {
		return nil, fmt.Errorf("its header is damaged: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() != headerSize+meta.Size {
		return nil, fmt.Errorf("it has %d bytes, not %d", info.Size(), headerSize+meta.Size)
	}
	return meta, nil
}

func encodeHeader(meta *raft.SnapshotMeta) ([]byte, error) {
	body, err := json.Marshal(meta)
	if err != nil {
		return nil, err
	}
	if len(body) > headerSize-prefixSize {
		return nil, fmt.Errorf("metadata of %d bytes exceed %d", len(body), headerSize-prefixSize)
	}
	buf := append(make([]byte, 0, headerSize), magic...)
	buf = append(buf, version)
	buf = binary.LittleEndian.AppendUint32(buf, uint32(len(body)))
	buf = binary.LittleEndian.AppendUint32(buf, crc32.Checksum(body, castagnoli))
	buf = append(buf, body...)
	return buf[:headerSize], nil
}
