package ipam

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// maxNotes bounds a Memory. It is above the number of pods of a node, so that those
// that are forgotten are of pods that are gone.
const maxNotes = 512

// Memory is who had which address last, in a directory that outlives a reboot: a
// pod that starts again gets the address that it had, which is where services lead
// to as long as nobody can tell them better. It is only a hint, and never a claim.
//
// A note is a symbolic link named after the address that leads to the pod. It is made
// in one step and is small enough for the inode: a power cut leaves it whole or not
// there, without a wait for the disk.
type Memory struct {
	// Dir is made if need be; "" remembers nothing.
	Dir string
	// Pod is for whom addresses are allocated, "" for nobody known.
	Pod string
}

// note is what is remembered of an address.
type note struct {
	addr netip.Addr
	pod  string
	at   time.Time
}

// notes are all of them, the newest first. What cannot be read is not remembered.
func (m Memory) notes() []note {
	if m.Dir == "" {
		return nil
	}
	entries, err := os.ReadDir(m.Dir)
	if err != nil {
		return nil
	}
	var list []note
	for _, e := range entries {
		addr, err := netip.ParseAddr(e.Name())
		if err != nil {
			continue
		}
		pod, err := os.Readlink(filepath.Join(m.Dir, e.Name()))
		if err != nil {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue
		}
		list = append(list, note{addr, pod, info.ModTime()})
	}
	slices.SortFunc(list, func(a, b note) int { return cmp.Or(b.at.Compare(a.at), a.addr.Compare(b.addr)) })
	return list
}

// remember notes that the pod has the addresses now, in place of whoever had them.
func (m Memory) remember(addrs []netip.Addr) error {
	if m.Dir == "" || m.Pod == "" || strings.ContainsRune(m.Pod, 0) {
		return nil
	}
	if err := os.MkdirAll(m.Dir, 0o700); err != nil {
		return fmt.Errorf("remember addresses: %w", err)
	}
	for _, a := range addrs {
		if err := m.note(a); err != nil {
			return fmt.Errorf("remember an address: %w", err)
		}
	}
	if all := m.notes(); len(all) > maxNotes {
		for _, old := range all[maxNotes:] {
			if err := os.Remove(filepath.Join(m.Dir, old.addr.String())); err != nil {
				return fmt.Errorf("forget an address: %w", err)
			}
		}
	}
	return nil
}

// note replaces an address's note. The store's lock keeps others away.
func (m Memory) note(a netip.Addr) error {
	tmp := filepath.Join(m.Dir, ".note")
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(m.Pod, tmp); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(m.Dir, a.String()))
}
