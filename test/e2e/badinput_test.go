package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"skiff/test/e2e/host"
)

// refused is how a server that cannot start ends: one line of the given form on
// standard error, and exit code 1, or 2 if the user's input is wrong.
func refused(t *testing.T, r host.Result, code int, message string) {
	t.Helper()
	var said []string
	for line := range strings.Lines(r.Stderr) {
		if !strings.HasPrefix(line, "time=") { // not the log
			said = append(said, strings.TrimSpace(line))
		}
	}
	if r.Code != code || len(said) != 1 || !regexp.MustCompile(message).MatchString(said[0]) {
		t.Errorf("exit code %d, want %d; it said %q, want one line like %q\n%s", r.Code, code, said, message, r.Stderr)
	}
}

// TestUsage mistypes what a user can mistype.
func TestUsage(t *testing.T) {
	t.Parallel()
	h := host.New(t, host.Config{})
	config := filepath.Join(h.Dir, "mistyped.yaml")
	write(t, config, "data-dirr: /x\n")
	for _, tc := range []struct{ args, message string }{
		{"server --data-dirr x", `^skiff: there is no flag --data-dirr, did you mean --data-dir\?`},
		{"sever", `^skiff: there is no command "sever", did you mean "?server"?\?`},
		{"server --config " + config, `^skiff: ` + config + `: there is no key "data-dirr", did you mean "?data-dir"?\?$`},
		{"server --cluster-cidr 10.42.0.0/33", `^skiff: cluster-cidr: "10.42.0.0/33" is not an address range`},
		{"server --disable dnss", `^skiff: disable: there is no part "dnss"`},
		{"server --https-port 0", `^skiff: https-port: "0" is not a port`},
	} {
		refused(t, h.Run("skiff", strings.Fields(tc.args)...), 2, tc.message)
	}
	if _, err := os.Stat(h.DataDir); !os.IsNotExist(err) {
		t.Errorf("a mistyped command made %s, or: %v", h.DataDir, err)
	}
}

// TestTaken starts a second server where a first one runs. `skiff check` knows.
func TestTaken(t *testing.T) {
	t.Parallel()
	h := host.New(t, host.Config{})
	if r := h.Run("skiff", "check"); r.Code != 0 {
		t.Errorf("a box on which a server can run does not pass its check: code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	h.Start()
	if r := h.Run("skiff", "check"); r.Code != 1 || !strings.Contains(r.Stdout, "6443") {
		t.Errorf("check while a server has the port: code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	other := filepath.Join(h.Dir, "other")
	refused(t, h.Run("skiff", "server", "--data-dir", other, "--write-kubeconfig", other+".yaml"), 1,
		`^skiff: https-port: cannot listen on 0\.0\.0\.0:6443, stop what does \(ss -tlnp\) or choose another port: .*address already in use$`)
	refused(t, h.Run("skiff", "server", "--https-port", "7443"), 1,
		`^skiff: data-dir: `+h.DataDir+` is in use by process \d+ \(skiff server\): stop it, or choose another folder$`)
	if out := h.Kubectl("get", "nodes", "--no-headers"); !strings.Contains(out, " Ready ") {
		t.Errorf("the first server's node: %q", out)
	}
}

// TestNotRoot runs everything as a user who may do nothing.
func TestNotRoot(t *testing.T) {
	t.Parallel()
	h := host.New(t, host.Config{})
	h.Start()
	binary := readableCopy(t, h.Binary)
	run := func(args ...string) host.Result {
		t.Helper()
		cmd := h.Command(t.Context(), "setpriv", append([]string{"--reuid=65534", "--regid=65534", "--clear-groups", binary}, args...)...)
		cmd.Dir = "/"
		cmd.Env = append(cmd.Env, "SKIFF_CONFIG=/dev/null", "HOME="+filepath.Dir(binary)+"/home")
		return h.Finish(cmd)
	}
	refused(t, run("server"), 1, `^skiff: skiff server needs root: .*; run it with sudo$`)
	refused(t, run("uninstall", "--yes", "--data-dir", h.DataDir), 1, `^skiff: skiff uninstall needs root`)
	refused(t, run("images", "list", "--data-dir", h.DataDir), 1, `^skiff: images list: the images are root's, run it with sudo: open .*: permission denied$`)
	if r := run("kubectl", "version", "--client"); r.Code != 0 || !strings.Contains(r.Stdout, "v1.37.2") {
		t.Errorf("kubectl without root: code %d, %s%s", r.Code, r.Stdout, r.Stderr)
	}
	if r := run("check", "--data-dir", h.DataDir); r.Code != 1 || !strings.Contains(r.Stdout, "root") {
		t.Errorf("check without root: code %d, %s%s", r.Code, r.Stdout, r.Stderr)
	}
	h.Kubectl("get", "nodes")
}

// readableCopy is the executable where everybody can run it, in a folder in which
// everybody can write.
func readableCopy(t *testing.T, binary string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "e2e-user-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	data, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "skiff")
	if err := os.WriteFile(path, data, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

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

// TestTruncatedImage has a broken archive among good ones, in the folder that is
// read at the start and on the command line.
func TestTruncatedImage(t *testing.T) {
	t.Parallel()
	h := host.New(t, host.Config{})
	images := folder(t, h, "images")
	truncate := func(path string) string {
		t.Helper()
		info, err := os.Stat(path)
		if err == nil {
			err = os.Truncate(path, info.Size()/2)
		}
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	broken := truncate(writeArchive(t, images, "skiff.test/broken:v1"))
	writeArchive(t, images, "skiff.test/good:v1")
	h.Start()
	h.Kubectl("run", "good", "--image=skiff.test/good:v1", "--image-pull-policy=Never", "--", "probe", "serve")
	h.Kubectl("wait", "--for=condition=Ready", "pod/good", "--timeout=60s")
	if log := h.Log(); !strings.Contains(log, broken) {
		t.Errorf("the log does not name %s:\n%s", broken, log)
	}

	broken2 := truncate(writeArchive(t, h.Dir, "skiff.test/broken:v2"))
	good2 := writeArchive(t, h.Dir, "skiff.test/good:v2")
	r := h.Run("skiff", "images", "import", broken2, good2)
	refused(t, r, 1, `^skiff: images import: `+broken2+`: `)
	if r.Stdout != "skiff.test/good:v2\n" {
		t.Errorf("imported %q", r.Stdout)
	}
	list := h.Skiff("images", "list")
	for name, want := range map[string]bool{"good:v1": true, "good:v2": true, "broken:v1": false, "broken:v2": false} {
		if strings.Contains(list, name) != want {
			t.Errorf("%s is listed: %v, want %v\n%s", name, !want, want, list)
		}
	}
}

// TestFullDisk fills the disk below a server, and below one that is to start.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	h := host.New(t, host.Config{DiskSize: 400 << 20})
	h.Start()
	importBox(t, h)
	h.Kubectl("run", "web-0", "--image="+boxImage, "--", "probe", "serve")
	h.Kubectl("wait", "--for=condition=Ready", "pod/web-0", "--timeout=60s")
	h.Kubectl("create", "configmap", "early")
	before := containers(h, "run=web-0")

	free := fill(t, filepath.Join(h.DataDir, "ballast"))
	// What is kept back for the log lasts for some writes, and not for many.
	big := "--from-literal=value=" + strings.Repeat("x", 100<<10)
	var r host.Result
	for n := range 200 {
		if r = h.Run("kubectl", "create", "configmap", "late-"+string(rune('a'+n%26))+string(rune('a'+n/26)), big); r.Code != 0 {
			break
		}
	}
	if r.Code != 1 || !strings.Contains(r.Stderr, "no space left") && !strings.Contains(r.Stderr, "disk is full") {
		t.Errorf("a write on a full disk: code %d, %s", r.Code, r.Stderr)
	}
	h.Kubectl("get", "configmap", "early")
	archive := writeArchive(t, h.Dir, "skiff.test/large:v1")
	refused(t, h.Run("skiff", "images", "import", archive), 1, `^skiff: images import: `+archive+`: .*no space left on device`)
	free()
	h.Kubectl("create", "configmap", "later")
	h.Import(archive)
	h.Stop()

	free = fill(t, filepath.Join(h.DataDir, "ballast"))
	if r := h.Run("skiff", "server", "--data-dir", filepath.Join(h.DataDir, "new"), "--write-kubeconfig", ""); r.Code == 1 {
		refused(t, r, 1, `no space left on device`)
	} else {
		t.Errorf("a new server on a full disk: exit code %d", r.Code)
	}
	free()
	h.Start()
	h.Kubectl("get", "configmap", "early", "later")
	if after := containers(h, "run=web-0"); after != before {
		t.Errorf("containers before:\n%safter:\n%s", before, after)
	}
}

// fill writes a file until the disk is full.
func fill(t *testing.T, path string) (free func()) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 1<<20); len(block) > 0; {
		if _, err := f.Write(block); err != nil {
			block = block[:len(block)/2]
		}
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}
