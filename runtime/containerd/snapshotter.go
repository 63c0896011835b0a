package containerd

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/plugins/snapshots/overlay/overlayutils"
)

const (
	snapshotterOverlay = "overlayfs"
	snapshotterNative  = "native"
)

// chooseSnapshotter returns the configured snapshotter, else the one chosen at
// the first start, else what the file system can carry. The choice is
// recorded: images unpacked by one are invisible to the other.
func chooseSnapshotter(c *Config, log *slog.Logger) (string, error) {
	if c.Snapshotter != "" {
		return c.Snapshotter, nil
	}
	record := filepath.Join(c.Root, "snapshotter")
	data, err := os.ReadFile(record)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	switch name := strings.TrimSpace(string(data)); name {
	case snapshotterOverlay, snapshotterNative:
		return name, nil
	}
	choice := snapshotterOverlay
	if err := overlayutils.Supported(c.Root); err != nil {
		choice = snapshotterNative
		log.Warn("no overlayfs here: every container gets a full copy of its image", "dir", c.Root, "err", err)
	}
	if err := os.WriteFile(record, []byte(choice+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("record the snapshotter: %w", err)
	}
	return choice, nil
}
