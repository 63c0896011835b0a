package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"

	"github.com/hashicorp/raft"
)

// headerSize is that of the journal's first block: magic and version (8),
// generation (8), crc32c of both (4).
const headerSize = 4096

const (
	journalMagic   = "SKFJ"
	journalVersion = 1
)

// place is where one record lies in the journal.
type place struct {
	offset int64
	// chain is the checksum of the record before.
	chain uint32
}

// journal is a run of entries with consecutive indexes in one file. It is not
// safe for concurrent use.
type journal struct {
	file File
	size int64

	generation uint64
	first      uint64 // index of places[0]
	places     []place
	end        int64 // where the next record goes
	chain      uint32
	synced     int64 // what lies before survives a power cut
	buf        []byte
}

func openJournal(file File, size int64) (*journal, error) {
	j := &journal{file: file, size: size}
	header := make([]byte, 20)
	if _, err := file.ReadAt(header, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the raft journal: %w", err)
	}
	if string(header) == string(make([]byte, len(header))) {
		// A new file, or one whose very first header did not reach the disk:
		// nothing was acknowledged before that.
		return j, j.reset(rand.Uint64())
	}
	if !validHeader(header) {
		return nil, errors.New("the header of the raft journal is damaged: restore the data directory from a backup")
	}
	if v := binary.LittleEndian.Uint32(header[4:]); v > journalVersion {
		return nil, fmt.Errorf("the raft journal has format version %d, this skiff knows up to %d: start the newer version that wrote it", v, journalVersion)
	}
	j.begin(binary.LittleEndian.Uint64(header[8:]))
	return j, j.scan()
}

func validHeader(h []byte) bool {
	return string(h[:4]) == journalMagic && crc32.Checksum(h[:16], castagnoli) == binary.LittleEndian.Uint32(h[16:])
}

func (j *journal) begin(generation uint64) {
	j.generation = generation
	j.first, j.places = 0, nil
	j.end, j.synced = headerSize, headerSize
	j.chain = uint32(generation) ^ uint32(generation>>32)
}

// reset forgets all entries, for good when it returns.
func (j *journal) reset(generation uint64) error {
	h := append([]byte(journalMagic), 0, 0, 0, 0)
	binary.LittleEndian.PutUint32(h[4:], journalVersion)
	h = binary.LittleEndian.AppendUint64(h, generation)
	h = binary.LittleEndian.AppendUint32(h, crc32.Checksum(h, castagnoli))
	if _, err := j.file.WriteAt(h, 0); err != nil {
		return fmt.Errorf("reset the raft journal: %w", err)
	}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("reset the raft journal: %w", err)
	}
	j.begin(generation)
	return nil
}

// scan finds the records of this generation. What follows the first one that is
// not valid was never synced, and so never acknowledged as durable.
func (j *journal) scan() error {
	const window = 256 << 10
	buf := make([]byte, 0, window)
	var read int64 = headerSize
	for {
		payload, next, ok := parseRecord(buf, j.chain)
		if ok && j.adopt(payload, next) {
			buf = buf[recordHeader+len(payload):]
			continue
		}
		// Either the end, or the window holds only part of a record.
		if read >= j.size || (len(buf) >= recordHeader && !j.partial(buf)) {
			j.synced = headerSize
			return nil
		}
		grown := make([]byte, len(buf), len(buf)+window)
		copy(grown, buf)
		n, err := j.file.ReadAt(grown[len(buf):cap(grown)], read)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read the raft journal: %w", err)
		}
		if n == 0 {
			return nil
		}
		read += int64(n)
		buf = grown[:len(buf)+n]
	}
}

// partial tells whether buf may be the beginning of a record that goes on
// behind it.
func (j *journal) partial(buf []byte) bool {
	n := int64(binary.LittleEndian.Uint32(buf))
	return n > int64(len(buf)-recordHeader) && j.end+recordHeader+n <= j.size
}

func (j *journal) adopt(payload []byte, next uint32) bool {
	index, n := binary.Uvarint(payload)
	if n <= 0 || (len(j.places) > 0 && index != j.last()+1) {
		return false
	}
	if len(j.places) == 0 {
		j.first = index
	}
	j.places = append(j.places, place{offset: j.end, chain: j.chain})
	j.end += int64(recordHeader + len(payload))
	j.chain = next
	return true
}

func (j *journal) empty() bool { return len(j.places) == 0 }

// last returns the index of the last entry, 0 if there is none.
func (j *journal) last() uint64 {
	if j.empty() {
		return 0
	}
	return j.first + uint64(len(j.places)) - 1
}

func (j *journal) has(index uint64) bool {
	return !j.empty() && index >= j.first && index <= j.last()
}

// encode returns the records of logs, which follow those in the journal.
func (j *journal) encode(logs []*raft.Log) (buf []byte, places []place, chain uint32) {
	buf, chain = j.buf[:0], j.chain
	places = make([]place, len(logs))
	for i, log := range logs {
		places[i] = place{offset: j.end + int64(len(buf)), chain: chain}
		buf, chain = appendRecord(buf, chain, log)
	}
	if cap(buf) <= 256<<10 {
		j.buf = buf
	}
	return buf, places, chain
}

// errJournalFull tells that the records do not fit any more.
var errJournalFull = errors.New("raft journal is full")

// append writes logs, whose indexes follow the last one.
func (j *journal) append(logs []*raft.Log) error {
	buf, places, chain := j.encode(logs)
	if j.end+int64(len(buf)) > j.size {
		return errJournalFull
	}
	if _, err := j.file.WriteAt(buf, j.end); err != nil {
		return err
	}
	if j.empty() {
		j.first = logs[0].Index
	}
	j.places = append(j.places, places...)
	j.end += int64(len(buf))
	j.chain = chain
	return nil
}

func (j *journal) sync() error {
	if j.synced == j.end {
		return nil
	}
	if err := j.file.Sync(); err != nil {
		return err
	}
	j.synced = j.end
	return nil
}

// truncate forgets the entries from index on, for good when it returns.
func (j *journal) truncate(index uint64) error {
	if !j.has(index) {
		return nil
	}
	at := index - j.first
	if at == 0 {
		return j.reset(j.generation + 1)
	}
	p := j.places[at]
	if _, err := j.file.WriteAt(make([]byte, recordHeader), p.offset); err != nil {
		return fmt.Errorf("truncate the raft journal: %w", err)
	}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("truncate the raft journal: %w", err)
	}
	j.places = j.places[:at]
	j.end, j.chain, j.synced = p.offset, p.chain, p.offset
	return nil
}

func (j *journal) get(index uint64, log *raft.Log) error {
	at := index - j.first
	end := j.end
	if at+1 < uint64(len(j.places)) {
		end = j.places[at+1].offset
	}
	p := j.places[at]
	buf := make([]byte, end-p.offset)
	if _, err := j.file.ReadAt(buf, p.offset); err != nil {
		return fmt.Errorf("read entry %d of the raft journal: %w", index, err)
	}
	payload, _, ok := parseRecord(buf, p.chain)
	if !ok {
		return fmt.Errorf("read entry %d of the raft journal: %w", index, errBadRecord)
	}
	return decodePayload(payload, log)
}
