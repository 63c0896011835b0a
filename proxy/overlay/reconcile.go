package overlay

import (
	"errors"
	"fmt"
	"slices"
)

// Kernel holds the tables.
type Kernel interface {
	// Read returns what is there of the overlay, and the box's other networks.
	Read() (State, Underlay, error)
	// Add makes an item. It fails if something foreign is in its place.
	Add(Item) error
	// Change gives an item other properties, in place.
	Change(Item) error
	// Remove removes an item; that it is gone already is no error.
	Remove(Item) error
}

// reconcile changes the kernel from what it has to what is wanted: first it makes
// and changes, then it removes, so that nothing that stays is without its route
// in between. It goes on after an error.
func reconcile(k Kernel, have, want State) error {
	var errs []error
	try := func(what string, do func(Item) error, i Item) {
		if err := do(i); err != nil {
			errs = append(errs, fmt.Errorf("%s %s: %w", what, i, err))
		}
	}
	if old, remake := remade(have, want); remake {
		try("remove", k.Remove, old)
		if len(errs) > 0 {
			return errors.Join(errs...) // everything else would fail as well
		}
		have = have.without(func(i Item) bool { r, ok := i.(Route); return !ok || r.Dev == old.Name })
	}
	if readdressed(have, want) {
		have = have.without(func(i Item) bool { return i.Key().Kind == KindNeighbour })
	}
	for _, i := range sorted(want, func(i Item) bool { return have[i.Key()] != i }) {
		if _, there := have[i.Key()]; there {
			try("change", k.Change, i)
		} else {
			try("add", k.Add, i)
		}
		if i.Key().Kind == KindLink && len(errs) > 0 {
			return errors.Join(errs...)
		}
	}
	linkGoes := want[Link{}.Key()] == nil && have[Link{}.Key()] != nil
	unwanted := sorted(have, func(i Item) bool { return want[i.Key()] == nil && !(linkGoes && goesWithLink(i)) })
	for _, i := range slices.Backward(unwanted) {
		try("remove", k.Remove, i)
	}
	return errors.Join(errs...)
}

// sorted returns those items of a state that are picked, in the order in which
// they can be made.
func sorted(s State, pick func(Item) bool) (items []Item) {
	for _, i := range s {
		if pick(i) {
			items = append(items, i)
		}
	}
	slices.SortFunc(items, func(a, b Item) int { return a.Key().compare(b.Key()) })
	return items
}

// goesWithLink tells whether an item vanishes when the overlay's link does. A
// route may be by another link, and removing one that has gone costs nothing.
func goesWithLink(i Item) bool {
	kind := i.Key().Kind
	return kind != KindLink && kind != KindRoute
}

// remade returns the link that is there if it has to be made anew to become the
// one that is wanted.
func remade(have, want State) (Link, bool) {
	old, ok := have[Link{}.Key()].(Link)
	wanted, ok2 := want[Link{}.Key()].(Link)
	return old, ok && ok2 && (old.Type != wanted.Type || old.Fixed != wanted.Fixed)
}

// readdressed tells whether the link's own address changes: the kernel then
// forgets all of its neighbours, permanent ones too.
func readdressed(have, want State) bool {
	old, ok := have[Link{}.Key()].(Link)
	wanted, ok2 := want[Link{}.Key()].(Link)
	return ok && ok2 && old.MAC != wanted.MAC
}

// without returns what is left when some items have gone.
func (s State) without(gone func(Item) bool) State {
	left := State{}
	for key, i := range s {
		if !gone(i) {
			left[key] = i
		}
	}
	return left
}
