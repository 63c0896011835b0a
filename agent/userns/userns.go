// Package userns gives pods that want a user namespace of their own (hostUsers:
// false, KEP-127) the IDs of the node that theirs are mapped to: a block of
// 65536 for each, that no other pod has and that holds none of the node's own users.
//
// Who has which block is a file in the pod's directory, so it goes with the
// pod's other files, and an agent that starts again knows.
package userns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// Size is how many IDs a pod gets.
const Size = 1 << 16

// lastBlock leaves out the last IDs, of which (uid_t)-1 means none.
const lastBlock = 1<<32/Size - 2

const fileName = "userns"

// Allocator hands out blocks. It is safe for concurrent use.
type Allocator struct {
	dir string

	mu    sync.Mutex
	byPod map[types.UID]uint32
	taken map[uint32]bool
}

// New returns an Allocator for the pods whose directories are below dir, with the
// blocks that they have.
func New(dir string) (*Allocator, error) {
	a := &Allocator{dir: dir, byPod: map[types.UID]uint32{}, taken: map[uint32]bool{}}
	names, err := filepath.Glob(filepath.Join(dir, "*", fileName))
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read a pod's user namespace: %w", err)
		}
		block, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 16)
		if err != nil || block == 0 {
			// A power cut tore it, and ended what ran with it.
			if err := os.Remove(name); err != nil {
				return nil, fmt.Errorf("remove a pod's broken user namespace: %w", err)
			}
			continue
		}
		a.keep(types.UID(filepath.Base(filepath.Dir(name))), uint32(block))
	}
	return a, nil
}

func (a *Allocator) keep(pod types.UID, block uint32) {
	a.byPod[pod] = block
	a.taken[block] = true
}

// Of returns the first ID of the pod's block, which it gets if it has none yet. The
// pod's directory must exist.
func (a *Allocator) Of(pod types.UID) (first uint32, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if block, ok := a.byPod[pod]; ok {
		return block * Size, nil
	}
	for block := uint32(1); block <= lastBlock; block++ {
		if a.taken[block] {
			continue
		}
		if err := a.write(pod, block); err != nil {
			return 0, fmt.Errorf("create user namespace: %w", err)
		}
		a.keep(pod, block)
		return block * Size, nil
	}
	return 0, errors.New("could not find an empty slot to allocate a user namespace")
}

func (a *Allocator) write(pod types.UID, block uint32) error {
	return os.WriteFile(filepath.Join(a.dir, string(pod), fileName), []byte(strconv.FormatUint(uint64(block), 10)+"\n"), 0o600)
}

// Release takes the pod's block back; nothing of the pod may run any more.
func (a *Allocator) Release(pod types.UID) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	block, ok := a.byPod[pod]
	if !ok {
		return nil
	}
	if err := os.Remove(filepath.Join(a.dir, string(pod), fileName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("release user namespace: %w", err)
	}
	delete(a.byPod, pod)
	delete(a.taken, block)
	return nil
}
