package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"skiff/test/e2e/host"
)

// TestForeignData starts on data that are not this server's, or not this
// version's: it refuses, and touches nothing.
func TestForeignData(t *testing.T) {
	t.Parallel()
	one, two := host.New(t, host.Config{NodeName: "one"}), host.New(t, host.Config{NodeName: "two"})
	for _, h := range []*host.Host{one, two} {
		h.Launch()
	}
	for _, h := range []*host.Host{one, two} {
		h.AwaitReady()
		h.Kubectl("create", "configmap", "mark", "--from-literal=host="+h.Name)
		h.Stop()
	}
	swapped := func(name string) change {
		return func(t *testing.T) (undo func()) {
			swap := func() { swap(t, filepath.Join(one.DataDir, name), filepath.Join(two.DataDir, name)) }
			swap()
			return swap
		}
	}
	edited := func(name, old, text string) change {
		return func(t *testing.T) (undo func()) { return edit(t, filepath.Join(one.DataDir, name), old, text) }
	}
	for what, tc := range map[string]struct {
		change  change
		flags   []string
		message string
	}{
		"the state of another cluster": {
			swapped("store/state"), nil, `belongs? to (another cluster|cluster \w+)`},
		"the store of another cluster": {
			swapped("store"), nil, `data-dir: .*/store holds the state of another cluster than the rest`},
		"the identities of another cluster": {
			swapped("pki"), nil, `data-dir: .*/pki holds the identities of another cluster than the rest`},
		"another node's name": {
			nil, []string{"--node-name", "three"}, `node-name: .* belongs to node "one", start it with --node-name one`},
		"a newer version": {
			edited("version", `"kubernetes":\s*"[^"]*"`, `"kubernetes":"v1.99.0"`), nil, `data-dir: .*v1\.99\.0.*newer than this`},
		"a newer format of the store": {
			edited("store/identity.json", `"format":\s*\d+`, `"format":99`), nil,
			`identity\.json has format version 99, this skiff knows up to \d+: start the newer version`},
	} {
		t.Run(what, func(t *testing.T) {
			if tc.change != nil {
				defer tc.change(t)()
			}
			refused(t, one.Run("skiff", append([]string{"server"}, tc.flags...)...), 1, `^skiff: .*`+tc.message)
		})
	}
	one.Start()
	if got := one.Kubectl("get", "configmap", "mark", "-o", "jsonpath={.data.host}"); got != one.Name {
		t.Errorf("the data are %q, want %q", got, one.Name)
	}
}

// change does something to a data folder.
type change func(t *testing.T) (undo func())

// edit replaces what matches in a file.
func edit(t *testing.T, path, old, text string) (undo func()) {
	t.Helper()
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, regexp.MustCompile(old).ReplaceAllString(string(before), text))
	return func() { write(t, path, string(before)) }
}

// swap exchanges two folders.
func swap(t *testing.T, a, b string) {
	t.Helper()
	for _, move := range [][2]string{{a, a + ".kept"}, {b, a}, {a + ".kept", b}} {
		if err := os.Rename(move[0], move[1]); err != nil {
			t.Fatal(err)
		}
	}
}
