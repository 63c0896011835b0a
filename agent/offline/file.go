package offline

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"go.etcd.io/bbolt"
)

// fileName is the file's in its directory.
const fileName = "offline.db"

// bucket is a part of the file.
type bucket string

const (
	bucketMeta   bucket = "meta"
	bucketPod    bucket = "pods"
	bucketConfig bucket = "configmaps"
	bucketSecret bucket = "secrets"
	bucketToken  bucket = "tokens"
	bucketClaim  bucket = "persistentvolumeclaims"
	bucketVolume bucket = "persistentvolumes"
	bucketClass  bucket = "runtimeclasses"
)

// secret tells whether what is in it is sealed.
func (b bucket) secret() bool { return b == bucketSecret || b == bucketToken }

// ofPods tells whether it holds pods or what their containers need.
func (b bucket) ofPods() bool {
	switch b {
	case bucketPod, bucketConfig, bucketSecret, bucketToken, bucketClaim, bucketVolume, bucketClass:
		return true
	}
	return false
}

// slot is where a value is.
type slot struct {
	bucket bucket
	key    string
}

func (s slot) String() string { return string(s.bucket) + "/" + s.key }

// change is what a slot is to hold; a nil value empties it.
type change struct {
	at    slot
	value []byte
}

// file is a bbolt file of sealed values. One that turns out to be damaged is set
// aside, and a new one begun.
type file struct {
	path string
	seal sealer
	// anew is told that the file was begun anew.
	anew func(why error)

	mu sync.RWMutex
	db *bbolt.DB
}

// open opens the file, or begins it.
func (f *file) open() error {
	if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
		return fmt.Errorf("keep what the node must know: %w", err)
	}
	err := f.use()
	if errors.Is(err, errBroken) {
		err = f.setAside(err)
	}
	if err != nil {
		return fmt.Errorf("keep what the node must know in %s: %w", f.path, err)
	}
	return nil
}

// errBroken tells that the file itself cannot be used.
var errBroken = errors.New("the file is damaged")

func (f *file) use() error {
	return guard(func() error {
		// The list of free pages is written with every change, since making it when the
		// file is opened is done in a goroutine that nobody can guard.
		db, err := bbolt.Open(f.path, 0o600, &bbolt.Options{Timeout: time.Second, FreelistType: bbolt.FreelistMapType})
		switch {
		case errors.Is(err, bbolt.ErrTimeout), err != nil && errors.As(err, new(*os.PathError)):
			return err
		case err != nil:
			return fmt.Errorf("%w: %w", errBroken, err)
		}
		f.db = db
		return nil
	})
}

// setAside puts a damaged file away and begins a new one. The old one stays open:
// nothing that is done with it is safe.
func (f *file) setAside(why error) error {
	if err := os.Rename(f.path, f.path+".damaged"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return errors.Join(why, err)
	}
	if err := f.use(); err != nil {
		return err
	}
	f.anew(why)
	return nil
}

// guard turns a library's panic, and the fault of reading beyond the end of a file
// that was cut short, into errBroken.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errBroken, p)
		}
	}()
	return fn()
}

// do runs fn with the file, and begins a new one if it is damaged.
func (f *file) do(fn func(db *bbolt.DB) error) error {
	f.mu.RLock()
	db := f.db
	if db == nil {
		f.mu.RUnlock()
		return os.ErrClosed
	}
	err := guard(func() error { return fn(db) })
	f.mu.RUnlock()
	if !errors.Is(err, errBroken) && !errors.Is(err, errDamaged) {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.db != db {
		return err // somebody else has begun a new one
	}
	return errors.Join(err, f.setAside(err))
}

// get returns a slot's value, and whether it has one.
func (f *file) get(at slot) (value []byte, ok bool, err error) {
	err = f.do(func(db *bbolt.DB) error {
		return db.View(func(tx *bbolt.Tx) error {
			data := lookup(tx, at)
			if data == nil {
				return nil
			}
			plain, err := f.seal.unseal(at, data)
			value, ok = append([]byte{}, plain...), err == nil
			return err
		})
	})
	return value, ok, err
}

func lookup(tx *bbolt.Tx, at slot) []byte {
	if b := tx.Bucket([]byte(at.bucket)); b != nil {
		return b.Get([]byte(at.key))
	}
	return nil
}

// each calls fn with every slot of a bucket, in order. The value is fn's only
// until it returns.
func (f *file) each(in bucket, fn func(key string, value []byte) error) error {
	return f.do(func(db *bbolt.DB) error {
		return db.View(func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte(in))
			if b == nil {
				return nil
			}
			return b.ForEach(func(k, data []byte) error {
				value, err := f.seal.unseal(slot{in, string(k)}, data)
				if err != nil {
					return fmt.Errorf("%s/%s: %w", in, k, err)
				}
				return fn(string(k), value)
			})
		})
	})
}

// keys are those of a bucket.
func (f *file) keys(in bucket) (keys []string, err error) {
	err = f.do(func(db *bbolt.DB) error {
		return db.View(func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte(in))
			if b == nil {
				return nil
			}
			return b.ForEach(func(k, _ []byte) error {
				keys = append(keys, string(k))
				return nil
			})
		})
	})
	return keys, err
}

// write brings slots up to date in one transaction, which is on the disk when it
// returns. What the file has already is not written again.
func (f *file) write(changes []change) error {
	return f.do(func(db *bbolt.DB) error {
		changes, err := f.news(db, changes)
		if err != nil || len(changes) == 0 {
			return err
		}
		return db.Update(func(tx *bbolt.Tx) error {
			for _, c := range changes {
				b, err := tx.CreateBucketIfNotExists([]byte(c.at.bucket))
				if err != nil {
					return err
				}
				if c.value == nil {
					err = b.Delete([]byte(c.at.key))
				} else {
					err = b.Put([]byte(c.at.key), f.seal.seal(c.at, c.value))
				}
				if err != nil {
					return fmt.Errorf("%s: %w", c.at, err)
				}
			}
			return nil
		})
	})
}

// news are the changes that change something.
func (f *file) news(db *bbolt.DB, changes []change) (news []change, err error) {
	err = db.View(func(tx *bbolt.Tx) error {
		for _, c := range changes {
			data := lookup(tx, c.at)
			if data == nil && c.value == nil {
				continue
			}
			if data != nil && c.value != nil {
				have, err := f.seal.unseal(c.at, data)
				if err == nil && string(have) == string(c.value) {
					continue
				}
			}
			news = append(news, c)
		}
		return nil
	})
	return news, err
}

// clear empties the file.
func (f *file) clear() error {
	return f.do(func(db *bbolt.DB) error {
		return db.Update(func(tx *bbolt.Tx) error {
			var names [][]byte
			if err := tx.ForEach(func(name []byte, _ *bbolt.Bucket) error {
				names = append(names, append([]byte{}, name...))
				return nil
			}); err != nil {
				return err
			}
			for _, name := range names {
				if err := tx.DeleteBucket(name); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

func (f *file) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.db == nil {
		return nil
	}
	db := f.db
	f.db = nil
	return db.Close()
}
