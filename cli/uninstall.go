package cli

import (
	"bufio"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"skiff/proxy"
	"skiff/runtime/containerd"
)

func uninstallCommand() *cli.Command {
	return &cli.Command{
		Name:        "uninstall",
		Usage:       "end what runs from a data folder, and remove all that skiff made",
		UsageText:   "skiff uninstall [--yes]",
		Description: "Stop `skiff server` first. The containers, their networks, mounts and cgroups, the\nkernel rules, the data folder and the kubeconfig are removed; nothing else is.",
		Flags: []cli.Flag{
			dataDirFlag(),
			listFlag("cluster-dns", "service address of the cluster's DNS", "10.43.0.10"),
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
	p := parser{Context: c}
	dns := p.addrs("cluster-dns")
	if err := p.err(); err != nil {
		return err
	}
	if err := requireRoot("skiff uninstall"); err != nil {
		return err
	}
	dataDir := c.String(flagDataDir)
	if !c.Bool("yes") {
		if err := confirm(c, dataDir); err != nil {
			return err
		}
	}
	return uninstall(c, dataDir, dns)
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

// uninstall goes on after an error, so that a second run has less to do.
func uninstall(c *cli.Context, dataDir string, dns []netip.Addr) error {
	errs := []error{
		containerd.Purge(c.Context, containerd.PurgeFor(dataDir)),
		proxy.Remove(dns),
		os.RemoveAll(dataDir),
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
