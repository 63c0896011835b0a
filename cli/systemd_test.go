package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const unitFile = "../contrib/systemd/skiff.service"

func readText(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestUnitIsDocumented: the page shows the unit as it is.
func TestUnitIsDocumented(t *testing.T) {
	if !strings.Contains(readText(t, "../docs/systemd.md"), "```ini\n"+readText(t, unitFile)+"```\n") {
		t.Error("docs/systemd.md does not show contrib/systemd/skiff.service")
	}
}

// TestUnit lets systemd read the unit.
func TestUnit(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip(err)
	}
	text := strings.ReplaceAll(readText(t, unitFile), "/usr/local/bin/skiff", "/bin/true")
	path := filepath.Join(t.TempDir(), "skiff.service")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", path).CombinedOutput(); err != nil || strings.Contains(string(out), path) {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}
