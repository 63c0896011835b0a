// Package datadir is what a data folder is known by: the lock that lets one
// process at a time work in it, and a marker that says which version used it
// last, whose it is, and which folders outside of it were made on its behalf.
//
//	dir, err := datadir.Open("/var/lib/skiff", datadir.Server) // before anything else in the folder
//	defer dir.Close()
//	err = dir.Update(func(m *datadir.Marker) { m.Node = "box" })
//
//	owner, err := datadir.OwnerOf("/var/lib/skiff") // from any other process
//	err = owner.Stop(ctx)
//
// # Files
//
//	lock      held (flock) by the process that works in the folder; says which one
//	version   the Marker, JSON
//
// Both have mode 0600. The rest of the folder is others' business.
package datadir
