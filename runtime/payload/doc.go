// Package payload carries the executables that skiff brings along, compressed
// inside its own, and stages them on disk:
//
//	runc, containerd-shim-runc-v2   run containers
//	skiff-cni                       the built-in CNI plugin
//	kubectl                         behind `skiff kubectl`
//	pause                           the program of the pause image
//
// scripts/payload builds them, from the versions in go.mod, into files/<GOARCH>/,
// which is not under version control. Without them the package compiles all the
// same, and Available and Stage report ErrMissing.
//
//	dir, err := payload.Stage(filepath.Join(dataDir, "bin"), payload.Runc, payload.Shim, payload.CNI)
//	runc := filepath.Join(dir, payload.Runc)
package payload
