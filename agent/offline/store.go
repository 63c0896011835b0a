package offline

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"

	"skiff/agent/backoff"
)

// Store is what a node knows of its cluster, on disk. It is safe for concurrent use.
type Store struct {
	log  *slog.Logger
	file *file
	link link
	// client and node are set by Factory.
	client kubernetes.Interface
	node   string

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	back   chan struct{}

	refused, unwritten backoff.Seldom

	flushing sync.Mutex
	mu       sync.Mutex
	closed   bool
	// dirty are the slots to be written, by what encodes their value.
	dirty map[slot]encoder
	timer *time.Timer
	due   time.Time
	// held are the config maps and secrets as last kept.
	held map[slot]object
	// followed are the informers, by kind.
	followed map[*kind]*followed
}

// Open opens the store in a directory, which is made if need be. A file that cannot
// be used is set aside. Secrets are sealed under a key that follows from key, the
// node's own.
func Open(dir string, key crypto.Signer, log *slog.Logger) (*Store, error) {
	seal, err := newSealer(key)
	if err != nil {
		return nil, err
	}
	s := &Store{log: log, back: make(chan struct{}, 1), dirty: map[slot]encoder{}, held: map[slot]object{}, followed: map[*kind]*followed{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.link = link{log: log, ctx: s.ctx, ping: s.ping, back: s.wakeUp}
	s.timer = time.AfterFunc(time.Hour, s.flushDue)
	s.timer.Stop()
	s.file = &file{path: filepath.Join(dir, fileName), seal: seal, anew: s.begunAnew}
	if err := s.file.open(); err != nil {
		s.cancel()
		return nil, err
	}
	return s, nil
}

// Close writes what is not written yet. The informers must have ended.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.timer.Stop()
	s.cancel()
	s.wg.Wait()
	s.link.wg.Wait()
	return errors.Join(s.flush(), s.file.close())
}

// Back receives when the server answers again after it was away.
func (s *Store) Back() <-chan struct{} { return s.back }

// Away tells whether the server was lost and has not answered since.
func (s *Store) Away() bool { return s.link.away() }

// Known tells whether the disk has what a node needs to bring back its pods and
// services: everything that the informers hold.
func (s *Store) Known() bool {
	for _, k := range kinds {
		if !s.complete(k) {
			return false
		}
	}
	return true
}

func (s *Store) wakeUp() {
	select {
	case s.back <- struct{}{}:
	default:
	}
}

// ping asks for something that every node may read.
func (s *Store) ping(ctx context.Context) error {
	_, err := s.client.CoreV1().Nodes().Get(ctx, s.node, getOptions)
	return err
}

// begunAnew has all that is known written into a file that has nothing.
func (s *Store) begunAnew(why error) {
	s.log.Error("what this node knows of the cluster was damaged on disk; it is set aside and written anew", "file", s.file.path+".damaged", "err", why)
	s.mu.Lock()
	var again []*followed
	for _, f := range s.followed {
		again = append(again, f)
	}
	for at, o := range s.held {
		s.mark(at, o.Marshal, soon)
	}
	s.mu.Unlock()
	if node := s.node; node != "" {
		s.put(nodeSlot, soon, func() ([]byte, error) { return []byte(node), nil })
	}
	for _, f := range again {
		f.putAll()
	}
}

// nodeSlot has the name of the node whose state it is.
var nodeSlot = slot{bucketMeta, "node"}

// adopt makes the file this node's: what was kept under another name is dropped.
func (s *Store) adopt(node string) error {
	name, ok, err := s.file.get(nodeSlot)
	if err != nil {
		return err
	}
	if ok && string(name) != node {
		s.log.Info("dropping what was known as another node", "was", string(name), "node", node)
		if err := s.file.clear(); err != nil {
			return err
		}
	}
	return s.file.write([]change{{nodeSlot, []byte(node)}})
}

// completeSlot tells that all objects of a kind are there.
func completeSlot(k *kind) slot { return slot{bucketMeta, "complete/" + string(k.bucket)} }

// complete tells whether the disk has all objects of a kind, so that none of them is
// known too.
func (s *Store) complete(k *kind) bool {
	_, ok, err := s.file.get(completeSlot(k))
	return ok && err == nil
}

// load reads all objects of a kind. If one cannot be read there are none: a list that
// lacks a pod would have it removed.
func (s *Store) load(k *kind) ([]object, bool) {
	if !s.complete(k) {
		return nil, false
	}
	var out []object
	err := s.file.each(k.bucket, func(key string, value []byte) error {
		o := k.object()
		if err := o.Unmarshal(value); err != nil {
			return fmt.Errorf("%s/%s: %w: %w", k.bucket, key, errDamaged, err)
		}
		out = append(out, o)
		return nil
	})
	return out, err == nil
}
