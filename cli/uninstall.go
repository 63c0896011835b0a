package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"skiff/proxy"
	"skiff/runtime/containerd"
	"skiff/server"
)

func uninstallCommand() *cli.Command {
	return &cli.Command{
		Name:        "uninstall",
		Usage:       "end what runs from a data folder, and remove all that skiff made",
		UsageText:   "skiff uninstall [--yes]",
		Description: "Stop `skiff server` first. The containers, their networks, mounts and cgroups, the\nkernel rules, the data folder and the kubeconfig are removed; nothing else is.",
		Flags: []cli.Flag{
			configFlag(),
			dataDirFlag(),
			serviceCIDRFlag(),
			clusterDNSFlag(),
			stringFlag(flagWriteKubeconfig, defaultKubeconfig, "the administrator's credentials"),
			&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask"},
		},
		Action: runUninstall,
	}
}

func runUninstall(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	dir, err := dataDir(c)
	if err != nil {
		return err
	}
	dns, err := clusterDNS(c)
	if err != nil {
		return err
	}
	if err := requireRoot("skiff uninstall"); err != nil {
		return err
	}
	if err := mustBeOurs(dir); err != nil {
		return err
	}
	if !c.Bool("yes") {
		if err := confirm(c, dir); err != nil {
			return err
		}
	}
	return uninstall(c, dir, dns)
}

// clusterDNS are the addresses that a server with these flags took.
func clusterDNS(c *cli.Context) ([]netip.Addr, error) {
	p := parser{Context: c}
	dns, cidrs := p.addrs("cluster-dns"), p.prefixes("service-cidr")
	if err := p.err(); err != nil || len(dns) > 0 {
		return dns, err
	}
	a, err := server.DefaultClusterDNS(cidrs)
	if err != nil {
		return nil, usageError{err}
	}
	return []netip.Addr{a}, nil
}

func confirm(c *cli.Context, dataDir string) error {
	if !isTerminal(os.Stdin) {
		return usagef("uninstall: there is no terminal to ask on; say --yes to remove %s and all that runs from it", dataDir)
	}
	fmt.Fprintf(c.App.Writer, "This ends all containers of %s and removes their data for good. Type yes to go on: ", dataDir)
	answer, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil || strings.TrimSpace(answer) != "yes" {
		return errors.New("uninstall: nothing was removed")
	}
	return nil
}

// uninstall goes on after an error, so that a second run has less to do. The data
// folder stays while something may still be mounted below it: what is removed
// through a mount is not skiff's.
func uninstall(c *cli.Context, dataDir string, dns []netip.Addr) error {
	purged := containerd.Purge(c.Context, containerd.PurgeFor(dataDir))
	errs := []error{purged, proxy.Remove(dns)}
	if purged == nil {
		errs = append(errs, removeDataDir(dataDir))
	}
	if err := os.Remove(c.String(flagWriteKubeconfig)); err != nil && !os.IsNotExist(err) {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("uninstall: %w", err)
	}
	fmt.Fprintf(c.App.Writer, "removed %s and all that ran from it\n", dataDir)
	return nil
}

// serverState are the folders that every server makes in its data folder first.
var serverState = []string{"pki", "store"}

// mustBeOurs refuses a folder that holds something, but not what a server makes:
// a mistyped --data-dir must not cost a home or a root file system.
func mustBeOurs(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("uninstall: %w", err)
	}
	for _, name := range serverState {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return usagef("uninstall: %s is not a data folder of skiff, it has no %s in it; nothing was removed", dir, name)
		}
	}
	return nil
}

// removeDataDir removes what a server is known by last, and only if the rest
// could be removed, so that a second run still knows the folder.
func removeDataDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var errs []error
	for _, e := range entries {
		if !slices.Contains(serverState, e.Name()) {
			errs = append(errs, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}
