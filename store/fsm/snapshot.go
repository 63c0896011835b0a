package fsm

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/raft"
	"github.com/klauspost/compress/s2"
	"go.etcd.io/bbolt"

	"skiff/store/mvcc"
)

// A snapshot is an s2 stream of: magic and version (4, 1), the cluster
// (length, bytes), revision; then for each item 1, key, revision, value; then 0
// and the number of items. All numbers are uvarints, all strings have their
// length before them.
const snapshotMagic = "SKFS"

var errBadSnapshot = errors.New("damaged snapshot")

// snapshot is a raft.FSMSnapshot.
type snapshot struct {
	view     mvcc.View
	cluster  string
	revision int64
	before   func() error
}

// Persist implements raft.FSMSnapshot.
func (s *snapshot) Persist(sink raft.SnapshotSink) error {
	// The snapshot is synced; the log that led to it must not end before it.
	if err := s.before(); err != nil {
		return err
	}
	if err := s.write(sink); err != nil {
		return errors.Join(fmt.Errorf("write a snapshot: %w", err), sink.Cancel())
	}
	return sink.Close()
}

// Release implements raft.FSMSnapshot.
func (s *snapshot) Release() { s.view.Close() }

func (s *snapshot) write(w io.Writer) error {
	// One small block at a time: memory matters more than the last percent.
	out := s2.NewWriter(w, s2.WriterConcurrency(1), s2.WriterBlockSize(64<<10))
	buf := append([]byte(snapshotMagic), formatVersion)
	buf = appendString(buf, []byte(s.cluster))
	buf = binary.AppendUvarint(buf, uint64(s.revision))
	_, err := out.Write(buf)
	n := uint64(0)
	s.view.Ascend("", "", func(b mvcc.Borrowed) bool {
		if err != nil {
			return false
		}
		n++
		buf = append(buf[:0], 1)
		if b.Item != nil {
			buf = appendString(buf, []byte(b.Item.Key))
			buf = binary.AppendUvarint(buf, uint64(b.Item.Revision))
			buf = appendString(buf, b.Item.Value)
		} else {
			buf = appendString(buf, b.Key)
			buf = binary.AppendUvarint(buf, uint64(b.Revision))
			buf = appendString(buf, b.Value)
		}
		_, err = out.Write(buf)
		return true
	})
	if err != nil {
		return err
	}
	if _, err := out.Write(binary.AppendUvarint([]byte{0}, n)); err != nil {
		return err
	}
	return out.Close()
}

func appendString(buf, s []byte) []byte {
	return append(binary.AppendUvarint(buf, uint64(len(s))), s...)
}

// reader reads a snapshot.
type reader struct {
	in       *bufio.Reader
	cluster  string
	revision int64
}

func newReader(r io.Reader) (*reader, error) {
	s := &reader{in: bufio.NewReader(s2.NewReader(r))}
	head := make([]byte, len(snapshotMagic)+1)
	if _, err := io.ReadFull(s.in, head); err != nil || string(head[:len(snapshotMagic)]) != snapshotMagic {
		return nil, errBadSnapshot
	}
	if v := int(head[len(snapshotMagic)]); v > formatVersion {
		return nil, fmt.Errorf("the snapshot has format version %d, this skiff knows up to %d: start the newer version that wrote it", v, formatVersion)
	}
	cluster, err := s.bytes()
	if err != nil {
		return nil, err
	}
	revision, err := binary.ReadUvarint(s.in)
	if err != nil {
		return nil, errBadSnapshot
	}
	s.cluster, s.revision = string(cluster), int64(revision)
	return s, nil
}

// maxString bounds a length in a damaged snapshot.
const maxString = 1 << 30

func (s *reader) bytes() ([]byte, error) {
	n, err := binary.ReadUvarint(s.in)
	if err != nil || n > maxString {
		return nil, errBadSnapshot
	}
	buf := make([]byte, n)
	if _, err := io.ReadFull(s.in, buf); err != nil {
		return nil, errBadSnapshot
	}
	return buf, nil
}

// next returns the next item as it is kept in the file; ok is false at the end.
func (s *reader) next(count uint64) (key, value []byte, ok bool, err error) {
	tag, err := s.in.ReadByte()
	if err != nil || tag > 1 {
		return nil, nil, false, errBadSnapshot
	}
	if tag == 0 {
		if n, err := binary.ReadUvarint(s.in); err != nil || n != count {
			return nil, nil, false, errBadSnapshot
		}
		return nil, nil, false, nil
	}
	if key, err = s.bytes(); err != nil {
		return nil, nil, false, err
	}
	revision, err := binary.ReadUvarint(s.in)
	if err != nil {
		return nil, nil, false, errBadSnapshot
	}
	if value, err = s.bytes(); err != nil {
		return nil, nil, false, err
	}
	return key, append(binary.BigEndian.AppendUint64(nil, revision), value...), true, nil
}

// load writes all items into db, in transactions of a bounded size.
func (s *reader) load(db *bbolt.DB) error {
	const perTx = 1 << 20
	count, done := uint64(0), false
	for !done {
		err := db.Update(func(tx *bbolt.Tx) error {
			bucket := tx.Bucket(bucketItems)
			bucket.FillPercent = 0.9 // the keys come in order
			for bytes := 0; bytes < perTx; {
				key, value, ok, err := s.next(count)
				if err != nil {
					return err
				}
				if !ok {
					done = true
					return nil
				}
				count++
				bytes += len(key) + len(value)
				if err := bucket.Put(key, value); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
