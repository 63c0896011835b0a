package containerd

import (
	"fmt"
	"log/slog"
	"path/filepath"

	"skiff/runtime/cni"
	"skiff/runtime/instance"
	"skiff/runtime/payload"
)

// Prepare stages the executables of a data directory and returns the
// configuration of its daemon, complete but for what a user may choose. It
// removes executables of earlier builds that nothing runs from any more.
func Prepare(dataDir string, log *slog.Logger) (Config, error) {
	binDir := filepath.Join(dataDir, "bin")
	dir, err := payload.Stage(binDir, payload.Runc, payload.Shim, payload.CNI)
	if err != nil {
		return Config{}, fmt.Errorf("stage executables: %w", err)
	}
	pause, err := payload.PauseImage()
	if err != nil {
		return Config{}, err
	}
	layout := LayoutFor(dataDir)
	if err := payload.Prune(binDir, dir, layout.InUse); err != nil {
		log.Warn("executables of an earlier version stay", "dir", binDir, "err", err)
	}
	return Config{
		Layout:             layout,
		Runc:               filepath.Join(dir, payload.Runc),
		Shim:               filepath.Join(dir, payload.Shim),
		Pause:              PauseImage{Name: pause.Name, Digest: pause.Digest, Archive: pause.Archive},
		CNIBinDirs:         []string{dir, "/opt/cni/bin"},
		CNIConfDir:         CNIConfDir(dataDir),
		RegistryConfigDirs: []string{filepath.Join(dataDir, "registries"), "/etc/skiff/registries"},
		Logger:             log,
	}, nil
}

// CNIConfDir is where the agent writes the pod network's configuration.
func CNIConfDir(dataDir string) string { return filepath.Join(dataDir, "cni", "net.d") }

// PodLink is what containerd calls a pod's link.
const PodLink = "eth0"

// PurgeFor returns what Purge takes away for a data directory: all that its
// instance made outside of it, and the runtime's part inside.
func PurgeFor(dataDir string) PurgeConfig {
	in := instance.Of(dataDir)
	c := PurgeConfig{
		Layout:       LayoutFor(dataDir),
		CgroupParent: in.CgroupParent(),
		Network:      cni.ConfigFor(dataDir, nil, 0),
		// What else is mounted in the data directory its owner mounted.
		Volumes: []string{filepath.Join(dataDir, "pods")},
	}
	if dir, err := payload.Stage(filepath.Join(dataDir, "bin"), payload.Runc); err == nil {
		c.Runc = filepath.Join(dir, payload.Runc)
	}
	return c
}
