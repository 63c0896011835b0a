package docs

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"skiff/server/api"
	"skiff/server/openapi"
	"skiff/server/registry/builtin"
	"skiff/server/registry/core"
	"skiff/store/storetest"
)

// cluster is the real API server in this process, on loopback, with nothing
// behind it: objects stay as they are written.
type cluster struct {
	env []string
	// applied applies docs/examples, once, for the first kubectl that is run.
	applied func() error
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	documents, err := openapi.New()
	if err != nil {
		t.Fatal(err)
	}
	srv, err := api.New(api.Config{
		Store: storetest.NewMemory(t), OpenAPI: documents,
		Resources: builtin.Resources(builtin.Deps{Core: core.Deps{ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.43.0.0/16")}}}),
	})
	if err != nil {
		t.Fatal(err)
	}
	listener := httptest.NewServer(srv)
	t.Cleanup(listener.Close)
	c := &cluster{env: environment(t, listener.URL)}
	c.applied = sync.OnceValue(c.apply)
	return c
}

// environment points kubectl to the server at url, and skiff to places where
// nothing is.
func environment(t *testing.T, url string) []string {
	t.Helper()
	dir := t.TempDir()
	kubeconfig := fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: c,
clusters: [{name: c, cluster: {server: %q}}], contexts: [{name: c, context: {cluster: c, user: u}}], users: [{name: u, user: {}}]}`, url)
	for name, text := range map[string]string{"kubeconfig.yaml": kubeconfig, "config.yaml": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return append(os.Environ(),
		"KUBECONFIG="+filepath.Join(dir, "kubeconfig.yaml"), "HOME="+dir, "EDITOR=true",
		"SKIFF_CONFIG="+filepath.Join(dir, "config.yaml"), "SKIFF_DATA_DIR="+filepath.Join(dir, "data"),
		"SKIFF_WRITE_KUBECONFIG="+filepath.Join(dir, "admin.yaml"))
}

// apply applies docs/examples.
func (c *cluster) apply() error {
	if _, err := c.run("", "kubectl", "create", "namespace", "default"); err != nil {
		return err
	}
	_, err := c.run("", "kubectl", "apply", "--validate=strict", "-f", "docs/examples")
	return err
}

// run runs kubectl or skiff from the repository's root, and returns what it says.
// The error's exit code is 2 for a wrong usage of skiff.
func (c *cluster) run(stdin, program string, args ...string) (output string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env, cmd.Stdin = root, c.env, strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out), err
}

// exitCode is that of the program whose failure err is; -1 if it was killed.
func exitCode(err error) int {
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return failed.ExitCode()
	}
	return 0
}
