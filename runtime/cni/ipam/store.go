// Package ipam hands out addresses of a node's ranges and remembers who has
// which, in files, so that short-lived plugin processes agree.
//
// Each address that is taken is a file named after it, whose content is its
// owner. The file appears complete, by link(2), so a process that is killed at
// any moment leaves an address either free or owned. What it leaves owned by a
// container that never came to be, Keep reclaims. A lock on the directory,
// which the kernel drops with its holder, keeps processes apart.
//
//	s, err := ipam.Open(dir)
//	defer s.Close()
//	addrs, err := s.Allocate(ipam.Owner{ContainerID: id, IfName: "eth0"}, ranges, memory)
package ipam

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// ErrFull is returned when a range has no free address.
var ErrFull = errors.New("no free address")

// Owner is an attachment, as CNI identifies it.
type Owner struct {
	ContainerID string
	IfName      string
}

func (o Owner) encode() string { return o.ContainerID + "\n" + o.IfName + "\n" }

func decode(s string) (Owner, bool) {
	id, rest, ok := strings.Cut(s, "\n")
	ifName, tail, ok2 := strings.Cut(rest, "\n")
	return Owner{id, ifName}, ok && ok2 && tail == "" && id != ""
}

// Range is a subnet out of which addresses are given, but for its gateway, the
// network's own and the broadcast address.
type Range struct {
	Subnet  netip.Prefix
	Gateway netip.Addr
}

// Store is an open, locked directory.
type Store struct {
	dir  string
	lock *os.File
}

// Open locks the store in dir, which it creates, and waits for whoever has it.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open address store: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open address store: %w", err)
	}
	for {
		if err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("lock address store %s: %w", dir, err)
	}
	return &Store{dir: dir, lock: lock}, nil
}

// Close unlocks the store.
func (s *Store) Close() error { return s.lock.Close() }

// Allocate returns one address of each range for the owner. An owner that has
// an address already gets the same again, and a pod that is remembered the one that
// it had, if nobody else has it now. If a range is full, nothing is kept.
func (s *Store) Allocate(o Owner, ranges []Range, m Memory) ([]netip.Addr, error) {
	taken, err := s.All()
	if err != nil {
		return nil, err
	}
	notes := m.notes()
	out := make([]netip.Addr, 0, len(ranges))
	for i, r := range ranges {
		a, err := s.allocate(o, search{Range: r, taken: taken, notes: notes, pod: m.Pod}, i)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("address out of %s: %w", r.Subnet, err), s.Release(o))
		}
		out = append(out, a)
	}
	// Only a hint: a pod without one runs as well.
	_ = m.remember(out)
	return out, nil
}

func (s *Store) allocate(o Owner, in search, index int) (netip.Addr, error) {
	for a, owner := range in.taken {
		if owner == o && in.Subnet.Contains(a) {
			return a, nil
		}
	}
	a, turned, ok := in.choose(s.lastGiven(index))
	if !ok {
		return netip.Addr{}, ErrFull
	}
	if err := s.claim(a, o); err != nil {
		return netip.Addr{}, err
	}
	if turned {
		// Only a hint: addresses are reused as late as possible.
		_ = os.WriteFile(s.hint(index), []byte(a.String()), 0o600)
	}
	return a, nil
}

// claim makes the address the owner's, or fails with fs.ErrExist.
func (s *Store) claim(a netip.Addr, o Owner) error {
	tmp, err := os.CreateTemp(s.dir, ".claim-")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString(o.encode())
	if err := errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	return os.Link(tmp.Name(), filepath.Join(s.dir, a.String()))
}

// Release frees what the owner has; it is no error to have nothing.
func (s *Store) Release(o Owner) error {
	return s.free(func(owner Owner) bool { return owner == o })
}

// Keep frees every address whose owner is not among the given ones, and
// removes what killed processes left behind.
func (s *Store) Keep(valid []Owner) error {
	junk, err := filepath.Glob(filepath.Join(s.dir, ".claim-*"))
	if err != nil {
		return err
	}
	for _, f := range junk {
		if err := os.Remove(f); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return s.free(func(owner Owner) bool { return !slices.Contains(valid, owner) })
}

func (s *Store) free(which func(Owner) bool) error {
	taken, err := s.All()
	if err != nil {
		return err
	}
	var errs []error
	for a, o := range taken {
		if !which(o) {
			continue
		}
		if err := os.Remove(filepath.Join(s.dir, a.String())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Of returns the addresses of an owner, in ascending order.
func (s *Store) Of(o Owner) ([]netip.Addr, error) {
	taken, err := s.All()
	if err != nil {
		return nil, err
	}
	var out []netip.Addr
	for a, owner := range taken {
		if owner == o {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return out, nil
}

// All returns every address that is taken. A file whose content is broken
// counts as taken by nobody, so that Keep frees it.
func (s *Store) All() (map[netip.Addr]Owner, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("read address store: %w", err)
	}
	out := make(map[netip.Addr]Owner, len(entries))
	for _, e := range entries {
		a, err := netip.ParseAddr(e.Name())
		if err != nil {
			continue
		}
		data, err := os.ReadFile(filepath.Join(s.dir, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("read address store: %w", err)
		}
		owner, ok := decode(string(data))
		if !ok {
			owner = Owner{}
		}
		out[a] = owner
	}
	return out, nil
}

func (s *Store) hint(index int) string {
	return filepath.Join(s.dir, fmt.Sprintf(".last-%d", index))
}

func (s *Store) lastGiven(index int) netip.Addr {
	data, err := os.ReadFile(s.hint(index))
	if err != nil {
		return netip.Addr{}
	}
	a, _ := netip.ParseAddr(string(data))
	return a
}

// Free counts the addresses of a range that nobody has, up to a large number.
func (s *Store) Free(r Range) (int, error) {
	taken, err := s.All()
	if err != nil {
		return 0, err
	}
	hostBits := r.Subnet.Addr().BitLen() - r.Subnet.Bits()
	if hostBits > 30 {
		hostBits = 30
	}
	free := 1<<hostBits - 2 // the network's own and the gateway
	if r.Subnet.Addr().Is4() {
		free-- // broadcast
	}
	for a := range taken {
		if r.Subnet.Contains(a) {
			free--
		}
	}
	return free, nil
}
