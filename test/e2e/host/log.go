package host

import (
	"bytes"
	"os"
	"path/filepath"
)

// shownLog is how much of its log a failed test shows, in bytes.
const shownLog = 8 << 10

func (h *Host) logFile() string { return filepath.Join(h.Dir, "log") }

// Log is what all servers and agents of the host have logged.
func (h *Host) Log() string {
	h.t.Helper()
	log, err := os.ReadFile(h.logFile())
	if err != nil && !os.IsNotExist(err) {
		h.t.Fatal(err)
	}
	return string(log)
}

// showCluster shows what runs when a test failed.
func (h *Host) showCluster() {
	if !h.t.Failed() || h.process == nil || h.process.name != "skiff server" {
		return
	}
	r := h.Run("kubectl", "get", "pods,events", "--all-namespaces", "--request-timeout=10s")
	h.t.Logf("what runs on %s:\n%s%s", h.Name, r.Stdout, r.Stderr)
}

// showLog shows how the log of a failed test ends, and keeps all of it if `go
// test -artifacts` asks for that.
func (h *Host) showLog() {
	if !h.t.Failed() {
		return
	}
	log := []byte(h.Log())
	if len(log) == 0 {
		return
	}
	kept := filepath.Join(h.artifacts, h.Name+".log")
	if err := os.WriteFile(kept, log, 0o600); err != nil {
		h.t.Log(err)
	}
	if len(log) > shownLog {
		log = log[len(log)-shownLog:]
		log = log[bytes.IndexByte(log, '\n')+1:]
	}
	h.t.Logf("the log of %s ends so:\n%s", h.Name, log)
}
