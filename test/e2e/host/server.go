package host

import (
	"os"
	"path/filepath"
	"strings"
)

// Start runs `skiff server` with further flags, and returns when it has told
// that it is ready, as it tells systemd.
func (h *Host) Start(flags ...string) {
	h.t.Helper()
	h.Launch(flags...)
	h.AwaitReady()
}

// Launch runs `skiff server` with further flags, and does not wait.
func (h *Host) Launch(flags ...string) {
	h.t.Helper()
	h.launch("server", flags)
}

// URL is where the host's server is reached.
func (h *Host) URL() string { return "https://" + h.Addr.String() + ":6443" }

// Token is the one that nodes join the host's server with.
func (h *Host) Token() string {
	h.t.Helper()
	text, err := os.ReadFile(filepath.Join(h.DataDir, "token"))
	if err != nil {
		h.t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}
