package fsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"skiff/store"
	"skiff/store/mvcc"
)

var (
	bucketItems = []byte("items")
	bucketMeta  = []byte("meta")

	keyApplied  = []byte("applied")
	keyRevision = []byte("revision")
	keyFormat   = []byte("format")
	keyLogged   = []byte("logged")
	// The latest configuration of raft, and the index of its entry.
	keyServers      = []byte("servers")
	keyServersIndex = []byte("serversIndex")
)

// position says up to where the state file has the log.
type position struct {
	applied  uint64
	revision int64
	// logged is the bytes of log since the last snapshot.
	logged uint64
	// servers is the encoded configuration of raft, nil if it is not known.
	servers      []byte
	serversIndex uint64
}

// backend is an mvcc.Backend: a table of recent changes in memory (a nil value
// for a deleted key) over one that is being flushed over a bbolt file.
type backend struct {
	db *bbolt.DB

	// mu guards what follows.
	mu     sync.Mutex
	active *mvcc.Table
	frozen *mvcc.Table
	// bytes of the active table.
	bytes int
	// flushes counts the finished flushes: a transaction begun before the last
	// one lacks what has left the frozen table since.
	flushes uint64

	// tx serves Current within one batch; only the applier uses it.
	tx        *bbolt.Tx
	txFlushes uint64
}

// openBackend opens the state file at path, made if it is not there.
func openBackend(path string) (*backend, position, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout:         time.Second,
		NoSync:          true,
		NoGrowSync:      true,
		FreelistType:    bbolt.FreelistMapType,
		InitialMmapSize: mmapSize,
		NoStatistics:    true,
	})
	if err != nil {
		return nil, position{}, fmt.Errorf("open the state file %s: %w", path, err)
	}
	b := &backend{db: db, active: mvcc.NewTable()}
	pos, err := b.init(path)
	if err != nil {
		return nil, position{}, errors.Join(err, db.Close())
	}
	return b, pos, nil
}

func (b *backend) init(path string) (position, error) {
	var pos position
	err := b.db.View(func(tx *bbolt.Tx) error {
		meta := tx.Bucket(bucketMeta)
		if meta == nil {
			return nil
		}
		if v := binary.BigEndian.Uint64(meta.Get(keyFormat)); v > formatVersion {
			return fmt.Errorf("the state file %s has format version %d, this skiff knows up to %d: start the newer version that wrote it", path, v, formatVersion)
		}
		pos.applied = binary.BigEndian.Uint64(meta.Get(keyApplied))
		pos.revision = int64(binary.BigEndian.Uint64(meta.Get(keyRevision)))
		pos.logged = binary.BigEndian.Uint64(meta.Get(keyLogged))
		pos.servers = append(pos.servers, meta.Get(keyServers)...)
		pos.serversIndex = binary.BigEndian.Uint64(meta.Get(keyServersIndex))
		return nil
	})
	if err != nil || pos.applied > 0 {
		return pos, err
	}
	return pos, b.db.Update(func(tx *bbolt.Tx) error {
		if _, err := tx.CreateBucketIfNotExists(bucketItems); err != nil {
			return err
		}
		return putPosition(tx, pos)
	})
}

func putPosition(tx *bbolt.Tx, pos position) error {
	meta, err := tx.CreateBucketIfNotExists(bucketMeta)
	if err != nil {
		return err
	}
	for _, kv := range []struct {
		key   []byte
		value uint64
	}{
		{keyFormat, formatVersion}, {keyApplied, pos.applied}, {keyRevision, uint64(pos.revision)},
		{keyLogged, pos.logged}, {keyServersIndex, pos.serversIndex},
	} {
		if err := meta.Put(kv.key, binary.BigEndian.AppendUint64(nil, kv.value)); err != nil {
			return err
		}
	}
	return meta.Put(keyServers, pos.servers)
}

// memory returns the item of key if a table in memory decides on it, and the
// number of finished flushes otherwise. A deleted key is decided, not found.
func (b *backend) memory(key string) (item store.Item, decided bool, flushes uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if item, ok := b.active.Get(key); ok {
		return item, true, 0
	}
	if b.frozen != nil {
		if item, ok := b.frozen.Get(key); ok {
			return item, true, 0
		}
	}
	return store.Item{}, false, b.flushes
}

// Current implements mvcc.Backend.
func (b *backend) Current(key string) (store.Item, bool, error) {
	item, decided, flushes := b.memory(key)
	if decided {
		if item.Value == nil {
			return store.Item{}, false, nil
		}
		return item, true, nil
	}
	if b.tx == nil || b.txFlushes != flushes {
		b.EndBatch()
		tx, err := b.db.Begin(false)
		if err != nil {
			return store.Item{}, false, err
		}
		b.tx, b.txFlushes = tx, flushes
	}
	item, ok := readItem(b.tx, key)
	return item, ok, nil
}

// EndBatch implements mvcc.Backend.
func (b *backend) EndBatch() {
	if b.tx != nil {
		_ = b.tx.Rollback() // of a read: cannot fail but for being closed
		b.tx = nil
	}
}

// Put implements mvcc.Backend.
func (b *backend) Put(item store.Item) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.active.Put(item)
	b.bytes += len(item.Key) + len(item.Value) + 64
}

// Delete implements mvcc.Backend.
func (b *backend) Delete(key string) { b.Put(store.Item{Key: key}) }

// View implements mvcc.Backend.
func (b *backend) View() (mvcc.View, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	tx, err := b.db.Begin(false)
	if err != nil {
		return nil, store.ErrClosed
	}
	v := &view{tx: tx, layers: []*mvcc.Table{b.active.Frozen()}}
	if b.frozen != nil {
		v.layers = append(v.layers, b.frozen)
	}
	return v, nil
}

// freeze hands the active table over to flush and begins a new one; false if
// the last one is still being flushed, or if there is nothing to flush.
func (b *backend) freeze() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.frozen != nil || b.active.Len() == 0 {
		return b.frozen == nil
	}
	b.frozen, b.active, b.bytes = b.active, mvcc.NewTable(), 0
	return true
}

// flush writes the frozen table, which ends at pos, to the file.
func (b *backend) flush(pos position) error {
	b.mu.Lock()
	frozen := b.frozen
	b.mu.Unlock()
	err := b.db.Update(func(tx *bbolt.Tx) error {
		if frozen != nil {
			if err := writeItems(tx.Bucket(bucketItems), frozen); err != nil {
				return err
			}
		}
		return putPosition(tx, pos)
	})
	if err != nil {
		return fmt.Errorf("write the state file %s: %w", b.db.Path(), err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.frozen = nil
	b.flushes++
	return nil
}

func writeItems(bucket *bbolt.Bucket, table *mvcc.Table) error {
	var err error
	table.Items("", "", func(item *store.Item) bool {
		if item.Value == nil {
			err = bucket.Delete([]byte(item.Key))
		} else {
			err = bucket.Put([]byte(item.Key), encodeItem(item))
		}
		return err == nil
	})
	return err
}

// pending returns what the active table holds.
func (b *backend) pending() (items, bytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.active.Len(), b.bytes
}

// close frees the file; whoever reads it finishes first.
func (b *backend) close() error {
	b.EndBatch()
	return b.db.Close()
}

// An item in the file is its revision (8 bytes, big endian), then its value.
func encodeItem(item *store.Item) []byte {
	buf := make([]byte, 8, 8+len(item.Value))
	binary.BigEndian.PutUint64(buf, uint64(item.Revision))
	return append(buf, item.Value...)
}

func readItem(tx *bbolt.Tx, key string) (store.Item, bool) {
	raw := tx.Bucket(bucketItems).Get([]byte(key))
	if raw == nil {
		return store.Item{}, false
	}
	return store.Item{
		Key:      key,
		Value:    append(make([]byte, 0, len(raw)-8), raw[8:]...),
		Revision: int64(binary.BigEndian.Uint64(raw)),
	}, true
}
