package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const units = "../contrib/systemd/"

func readText(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestUnitIsDocumented: the page shows the server's unit as it is, and in what the
// agent's differs.
func TestUnitIsDocumented(t *testing.T) {
	page, server := readText(t, "../docs/systemd.md"), readText(t, units+"skiff.service")
	var others strings.Builder
	agent := strings.Split(readText(t, units+"skiff-agent.service"), "\n")
	for i, line := range strings.Split(server, "\n") {
		if i >= len(agent) {
			t.Fatal("the agent's unit has fewer lines than the server's")
		}
		if line != agent[i] {
			others.WriteString(agent[i] + "\n")
		}
	}
	for name, text := range map[string]string{"skiff.service": server, "skiff-agent.service's own lines": others.String()} {
		if !strings.Contains(page, "```ini\n"+text+"```\n") {
			t.Errorf("docs/systemd.md does not show %s", name)
		}
	}
}

// TestUnit lets systemd read the units.
func TestUnit(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip(err)
	}
	for _, name := range []string{"skiff.service", "skiff-agent.service"} {
		text := strings.ReplaceAll(readText(t, units+name), "/usr/local/bin/skiff", "/bin/true")
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(analyze, "verify", path).CombinedOutput(); err != nil || strings.Contains(string(out), path) {
			t.Errorf("systemd-analyze verify: %v\n%s", err, out)
		}
	}
}
