package overlay

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// fake keeps the semantics of the kernel's tables: what an item needs, and what
// goes with it. It counts what it is told to do.
type fake struct {
	state    State
	underlay Underlay
	// foreign are routes that others made.
	foreign map[netip.Prefix]bool
	calls   int
	// fail refuses what it names.
	fail func(Item) error
}

func newFake(u Underlay) *fake {
	return &fake{state: State{}, underlay: u, foreign: map[netip.Prefix]bool{}, fail: func(Item) error { return nil }}
}

// Read implements Kernel.
func (f *fake) Read() (State, Underlay, error) { return maps.Clone(f.state), f.underlay, nil }

// Add implements Kernel.
func (f *fake) Add(i Item) error {
	if _, there := f.state[i.Key()]; there {
		return fmt.Errorf("%s: %w", i, unix.EEXIST)
	}
	return f.put(i)
}

// Change implements Kernel.
func (f *fake) Change(i Item) error {
	if _, there := f.state[i.Key()]; !there {
		return fmt.Errorf("%s: %w", i, unix.ENOENT)
	}
	return f.put(i)
}

func (f *fake) put(i Item) error {
	f.calls++
	if err := errors.Join(f.fail(i), f.possible(i)); err != nil {
		return err
	}
	if old, ok := f.state[i.Key()].(Link); ok && (old.Fixed != i.(Link).Fixed || old.Type != i.(Link).Type) {
		return fmt.Errorf("%s: %w", i, unix.EOPNOTSUPP)
	}
	if old, ok := f.state[i.Key()].(Link); ok && old.MAC != i.(Link).MAC {
		f.state = f.state.without(func(i Item) bool { return i.Key().Kind == KindNeighbour })
	}
	f.state[i.Key()] = i
	return nil
}

func (f *fake) possible(i Item) error {
	_, link := f.state[Link{}.Key()]
	r, ok := i.(Route)
	switch {
	case i.Key().Kind == KindLink:
		return nil
	case !ok && !link:
		return unix.ENODEV
	case !ok:
		return nil
	case f.foreign[r.Dst]:
		return unix.EEXIST
	case r.OnLink || r.Dev == testLink:
		if _, there := f.state[Address{netip.PrefixFrom(r.Src, r.Src.BitLen())}.Key()]; !link || !there {
			return unix.EINVAL
		}
		return nil
	}
	if l, ok := f.underlay.shared(r.Via); !ok || l.Name != r.Dev {
		return unix.ENETUNREACH
	}
	return nil
}

// Remove implements Kernel.
func (f *fake) Remove(i Item) error {
	f.calls++
	delete(f.state, i.Key())
	for key, other := range f.state {
		r, isRoute := other.(Route)
		switch i := i.(type) {
		case Link:
			if !isRoute || r.Dev == i.Name {
				delete(f.state, key)
			}
		case Address:
			if isRoute && r.Src == i.Prefix.Addr() {
				delete(f.state, key)
			}
		}
	}
	return nil
}

// setUp tells the fake of the box's links, as scripts do.
func (f *fake) setUp(l Uplink) {
	l.Index, l.Up = len(f.underlay.Links)+1, true
	f.underlay.Links = slices.DeleteFunc(f.underlay.Links, func(o Uplink) bool { return o.Name == l.Name })
	f.underlay.Links = append(f.underlay.Links, l)
}
