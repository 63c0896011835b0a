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
	if r := h.Run("skiff", "check"); r.Code != 0 || !strings.Contains(r.Stdout, "6443 is used by the skiff of this data folder") {
		t.Errorf("check of the folder that a server runs from: code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	other := filepath.Join(h.Dir, "other")
	if r := h.Run("skiff", "check", "--data-dir", other); r.Code != 1 || !strings.Contains(r.Stdout, "6443 is in use by skiff (process ") {
		t.Errorf("check while another server has the port: code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
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
