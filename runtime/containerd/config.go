package containerd

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"time"

	"skiff/runtime/instance"
)

// maxSocketDir is what containerd accepts for the directory of shim sockets: a
// socket's path must fit into the kernel's 108 bytes.
const maxSocketDir = 42

// Layout names the directories of one instance. All paths are absolute.
type Layout struct {
	// Root holds what survives a reboot: content, snapshots, metadata.
	Root string
	// State holds what does not: task bundles, network namespaces, runc's state. Best on a tmpfs.
	State string
	// SocketDir holds the sockets of shims; at most 42 bytes long.
	SocketDir string
	// Run is the parent of State and SocketDir, owned by this instance alone.
	Run string
}

// LayoutFor returns the directories that belong to a data directory.
func LayoutFor(dataDir string) Layout {
	run := instance.Of(dataDir).RunDir()
	return Layout{
		Root:      filepath.Join(dataDir, "containerd"),
		State:     filepath.Join(run, "containerd"),
		SocketDir: filepath.Join(run, "s"),
		Run:       run,
	}
}

// PauseImage is the image of the container that holds a sandbox's namespaces.
type PauseImage struct {
	// Name is the full reference, registry and tag included. It is never pulled.
	Name string
	// Digest is that of the manifest in Archive, as "sha256:...".
	Digest string
	// Archive returns an OCI archive (tar) that holds the image.
	Archive func() io.Reader
}

// Config is what the daemon needs to run.
type Config struct {
	Layout

	// Runc and Shim are absolute paths of the executables. They must exist for
	// as long as a container that was started with them does.
	Runc, Shim string
	Pause      PauseImage

	// CNIBinDirs and CNIConfDir are where plugins and the network's configuration are.
	CNIBinDirs []string
	CNIConfDir string

	// RegistryConfigDirs are directories in the layout of containerd's
	// certs.d (<host>/hosts.toml): mirrors, authorities, credentials.
	RegistryConfigDirs []string

	// Snapshotter is "overlayfs" or "native"; empty picks overlayfs where the
	// file system below Root can carry it.
	Snapshotter string

	// StatsPeriod is how often CPU usage is sampled for the rates that CRI
	// reports; 60 s if zero.
	StatsPeriod time.Duration

	// MaxConcurrentDownloads bounds the layers fetched at once per image; 3 if zero.
	MaxConcurrentDownloads int

	Logger *slog.Logger
}

func (c *Config) validate() error {
	for _, p := range []struct{ name, path string }{
		{"root", c.Root}, {"state", c.State}, {"socket dir", c.SocketDir}, {"run dir", c.Run},
		{"runc", c.Runc}, {"shim", c.Shim}, {"cni conf dir", c.CNIConfDir},
	} {
		if !filepath.IsAbs(p.path) {
			return fmt.Errorf("containerd %s: %q is not an absolute path", p.name, p.path)
		}
	}
	if len(c.SocketDir) > maxSocketDir {
		return fmt.Errorf("containerd socket dir %q is longer than %d bytes", c.SocketDir, maxSocketDir)
	}
	if c.Pause.Name == "" || c.Pause.Archive == nil {
		return errors.New("containerd needs a pause image")
	}
	switch c.Snapshotter {
	case "", snapshotterOverlay, snapshotterNative:
	default:
		return fmt.Errorf("containerd snapshotter %q is not one of overlayfs, native", c.Snapshotter)
	}
	return nil
}

func (c *Config) complete() {
	if c.StatsPeriod <= 0 {
		c.StatsPeriod = time.Minute
	}
	if c.MaxConcurrentDownloads <= 0 {
		c.MaxConcurrentDownloads = 3
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
}

// grpcAddress is never opened, but hashed into the names of shim sockets:
// changing it would orphan the sockets of running shims.
func (c *Config) grpcAddress() string { return filepath.Join(c.Run, "containerd.sock") }

// ttrpcAddress is where shims publish their events.
func (c *Config) ttrpcAddress() string { return filepath.Join(c.Run, "events.sock") }

// ImageSocket is where the command line reaches the daemon: see package images.
func (l Layout) ImageSocket() string { return filepath.Join(l.Run, "images.sock") }

// ImageRecord remembers which archives were imported: see package images.
func (l Layout) ImageRecord() string { return filepath.Join(l.Root, "imported.json") }

// taskBundles is where the task plugin keeps one directory per task of CRI.
func (l Layout) taskBundles() string {
	return filepath.Join(l.State, "io.containerd.runtime.v2.task", namespace)
}

// criContainers is where CRI checkpoints the status of each container.
func (l Layout) criContainers() string {
	return filepath.Join(l.Root, "io.containerd.grpc.v1.cri", "containers")
}

// runcRoot is runc's own state directory.
func (l Layout) runcRoot() string { return filepath.Join(l.State, "runc") }
