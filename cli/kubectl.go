package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"skiff/datadir"
	"skiff/runtime/payload"
)

func kubectlCommand() *cli.Command {
	return &cli.Command{
		Name:            "kubectl",
		Usage:           "run the built-in kubectl, as administrator where the credentials can be read",
		UsageText:       "skiff kubectl ARGUMENTS...",
		SkipFlagParsing: true,
		// For their variables and the keys of the configuration file alone.
		Flags:  []cli.Flag{configFlag(), dataDirFlag(), stringFlag(flagWriteKubeconfig, defaultKubeconfig, "")},
		Action: runKubectl,
	}
}

// runKubectl becomes kubectl: signals, terminal and exit code are its own.
func runKubectl(c *cli.Context) error {
	data, err := dataDir(c)
	if err != nil && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	dir, err := payload.Stage(kubectlDir(data), payload.Kubectl)
	if err != nil {
		return fmt.Errorf("kubectl: %w", err)
	}
	path := filepath.Join(dir, payload.Kubectl)
	err = syscall.Exec(path, append([]string{"kubectl"}, c.Args().Slice()...), kubectlEnvironment(os.Environ(), c.String(flagWriteKubeconfig)))
	return fmt.Errorf("kubectl: run %s: %w", path, err)
}

// kubectlDir is the server's own folder for root where there is one, and a folder
// of the user's cache otherwise: a data folder is made by a server alone.
func kubectlDir(dataDir string) string {
	if m, err := datadir.ReadMarker(dataDir); err == nil && m != nil && os.Geteuid() == 0 {
		return filepath.Join(dataDir, "bin")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	return filepath.Join(cache, "skiff", "bin")
}

// kubectlEnvironment adds the administrator's credentials at path to environ, if
// they can be read and the user named no others.
func kubectlEnvironment(environ []string, path string) []string {
	const name = "KUBECONFIG="
	for _, e := range environ {
		if strings.HasPrefix(e, name) && e != name {
			return environ
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return environ
	}
	f.Close()
	// An empty variable counts as none, but would hide a second one.
	environ = slices.DeleteFunc(slices.Clone(environ), func(e string) bool { return e == name })
	return append(environ, name+path)
}
