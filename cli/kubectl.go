package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/urfave/cli/v2"

	"skiff/runtime/payload"
)

func kubectlCommand() *cli.Command {
	return &cli.Command{
		Name:            "kubectl",
		Usage:           "run the built-in kubectl, as administrator where the credentials can be read",
		UsageText:       "skiff kubectl ARGUMENTS...",
		SkipFlagParsing: true,
		Action:          runKubectl,
	}
}

// runKubectl becomes kubectl: signals, terminal and exit code are its own.
func runKubectl(c *cli.Context) error {
	dir, err := payload.Stage(kubectlDir(), payload.Kubectl)
	if err != nil {
		return fmt.Errorf("kubectl: %w", err)
	}
	path := filepath.Join(dir, payload.Kubectl)
	err = syscall.Exec(path, append([]string{"kubectl"}, c.Args().Slice()...), kubectlEnvironment(os.Environ()))
	return fmt.Errorf("kubectl: run %s: %w", path, err)
}

// kubectlDir is the server's own folder for root, and a folder of the user's
// cache for others.
func kubectlDir() string {
	if os.Geteuid() == 0 {
		return filepath.Join(dataDirFromEnvironment(), "bin")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	return filepath.Join(cache, "skiff", "bin")
}

// dataDirFromEnvironment serves commands that hand all their arguments on.
func dataDirFromEnvironment() string {
	if dir := os.Getenv(env(flagDataDir)[0]); dir != "" {
		return dir
	}
	return defaultDataDir
}

// kubectlEnvironment names the administrator's credentials, unless the user
// named others.
func kubectlEnvironment(environ []string) []string {
	if os.Getenv("KUBECONFIG") != "" {
		return environ
	}
	path := os.Getenv(env(flagWriteKubeconfig)[0])
	if path == "" {
		path = defaultKubeconfig
	}
	f, err := os.Open(path)
	if err != nil {
		return environ
	}
	f.Close()
	return append(environ, "KUBECONFIG="+path)
}
