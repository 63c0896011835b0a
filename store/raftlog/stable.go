package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
)

// slotSize is that of one of the two places where the vote is written in turn,
// so that a write torn by a power cut leaves the one before.
const slotSize = 4096

// errKeyNotFound has the text that hashicorp/raft looks for.
var errKeyNotFound = errors.New("not found")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// stable is a raft.StableStore: the term and the vote. It is a file of its own
// because it must be writable on a full disk: raft panics if it is not.
type stable struct {
	mu     sync.Mutex
	file   File
	seq    uint64
	values map[string][]byte
}

func openStable(file File) (*stable, error) {
	s := &stable{file: file, values: map[string][]byte{}}
	buf := make([]byte, slotSize)
	for slot := range int64(2) {
		if _, err := file.ReadAt(buf, slot*slotSize); err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read the vote: %w", err)
		}
		if seq, values, ok := decodeSlot(buf); ok && seq > s.seq {
			s.seq, s.values = seq, values
		}
	}
	return s, nil
}

// A slot is: crc32c of the rest (4), length of the rest (4), sequence number
// (8), then for each value the lengths (2, 2) and bytes of its key and value.
func encodeSlot(seq uint64, values map[string][]byte) ([]byte, error) {
	buf := binary.LittleEndian.AppendUint64(make([]byte, 8, 256), seq)
	for k, v := range values {
		buf = binary.LittleEndian.AppendUint16(buf, uint16(len(k)))
		buf = binary.LittleEndian.AppendUint16(buf, uint16(len(v)))
		buf = append(append(buf, k...), v...)
	}
	if len(buf) > slotSize {
		return nil, fmt.Errorf("vote of %d bytes exceeds %d", len(buf), slotSize)
	}
	binary.LittleEndian.PutUint32(buf[4:], uint32(len(buf)-8))
	binary.LittleEndian.PutUint32(buf, crc32.Checksum(buf[4:], castagnoli))
	return buf, nil
}

func decodeSlot(buf []byte) (uint64, map[string][]byte, bool) {
	n := binary.LittleEndian.Uint32(buf[4:])
	if n < 8 || n > slotSize-8 || crc32.Checksum(buf[4:8+n], castagnoli) != binary.LittleEndian.Uint32(buf) {
		return 0, nil, false
	}
	seq, rest := binary.LittleEndian.Uint64(buf[8:]), buf[16:8+n]
	values := map[string][]byte{}
	for len(rest) >= 4 {
		k, v := int(binary.LittleEndian.Uint16(rest)), int(binary.LittleEndian.Uint16(rest[2:]))
		rest = rest[4:]
		if len(rest) < k+v {
			return 0, nil, false
		}
		values[string(rest[:k])] = append([]byte(nil), rest[k:k+v]...)
		rest = rest[k+v:]
	}
	return seq, values, true
}

// Set implements raft.StableStore.
func (s *stable) Set(key, val []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, had := s.values[string(key)]
	s.values[string(key)] = append([]byte(nil), val...)
	if err := s.write(); err != nil {
		delete(s.values, string(key))
		if had {
			s.values[string(key)] = old
		}
		return fmt.Errorf("write the vote: %w", err)
	}
	return nil
}

func (s *stable) write() error {
	buf, err := encodeSlot(s.seq+1, s.values)
	if err != nil {
		return err
	}
	if _, err := s.file.WriteAt(buf, int64((s.seq+1)%2)*slotSize); err != nil {
		return err
	}
	if err := s.file.Sync(); err != nil {
		return err
	}
	s.seq++
	return nil
}

// Get implements raft.StableStore.
func (s *stable) Get(key []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.values[string(key)]
	if !ok {
		return nil, errKeyNotFound
	}
	return append([]byte(nil), v...), nil
}

// SetUint64 implements raft.StableStore.
func (s *stable) SetUint64(key []byte, val uint64) error {
	return s.Set(key, binary.BigEndian.AppendUint64(nil, val))
}

// GetUint64 implements raft.StableStore.
func (s *stable) GetUint64(key []byte) (uint64, error) {
	v, err := s.Get(key)
	if err != nil {
		return 0, err
	}
	if len(v) != 8 {
		return 0, fmt.Errorf("value of %q is not a number", key)
	}
	return binary.BigEndian.Uint64(v), nil
}
