package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"skiff/datadir"
	"skiff/proxy"
	"skiff/proxy/overlay"
	"skiff/runtime/instance"
)

func uninstallCommand() *cli.Command {
	return &cli.Command{
		Name:      "uninstall",
		Usage:     "end what runs from a data folder, and remove all that skiff made",
		UsageText: "skiff uninstall [--yes]",
		Description: `A server or agent that runs from the folder is stopped first; one that is a service of
systemd is to be disabled before. The containers, their networks, mounts and cgroups, the kernel
rules, the data folder and the kubeconfig are removed; nothing else is.`,
		Flags: []cli.Flag{
			configFlag(),
			dataDirFlag(),
			stringFlag(flagWriteKubeconfig, defaultKubeconfig, "the administrator's credentials, of a folder that does not tell where they are"),
			&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask", DisableDefaultText: true},
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
	if err := requireRoot("skiff uninstall"); err != nil {
		return err
	}
	marker, err := mustBeOurs(dir)
	if err != nil {
		return err
	}
	owner, err := mayStop(dir)
	if err != nil {
		return fmt.Errorf("uninstall: %w", err)
	}
	if !c.Bool("yes") {
		if err := confirm(c, dir, marker, owner); err != nil {
			return err
		}
	}
	lock, err := takeOver(c.Context, dir, owner)
	if err != nil {
		return fmt.Errorf("uninstall: %w", err)
	}
	defer lock.Close()
	r := remover{dir: dir, marker: marker, kubeconfig: c.String(flagWriteKubeconfig), removeService: removeNetwork(dir)}
	if err := r.run(c.Context); err != nil {
		return fmt.Errorf("uninstall: %w", err)
	}
	r.report(c.App.Writer)
	return nil
}

// removeNetwork removes the rules for services, and what carries traffic to other
// nodes.
func removeNetwork(dir string) func([]netip.Addr) error {
	return func(clusterDNS []netip.Addr) error {
		return errors.Join(proxy.Remove(clusterDNS), overlay.Remove(instance.Of(dir).Overlay()))
	}
}

// mayStop returns the server or agent that runs from the folder, if one does. What systemd
// would start again is refused.
func mayStop(dir string) (*datadir.Owner, error) {
	owner, err := datadir.OwnerOf(dir)
	if err != nil || owner == nil {
		return nil, err
	}
	if unit := owner.Unit(); unit != "" {
		return nil, fmt.Errorf("%s is used by %s, which is the service %s: run `systemctl disable --now %s` first", dir, owner, unit, unit)
	}
	return owner, nil
}

func confirm(c *cli.Context, dir string, marker *datadir.Marker, owner *datadir.Owner) error {
	if !isTerminal(os.Stdin) {
		return usagef("uninstall: there is no terminal to ask on; say --yes to remove %s and all that runs from it", described(dir, marker))
	}
	stops := ""
	if owner != nil {
		stops = fmt.Sprintf("stops %s, ", owner)
	}
	fmt.Fprintf(c.App.Writer, "This %sends all containers of %s and removes its data for good. Type yes to go on: ", stops, described(dir, marker))
	answer, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil || strings.TrimSpace(answer) != "yes" {
		return errors.New("uninstall: nothing was removed")
	}
	return nil
}

// described says what a data folder is, as far as it is known: with a server's goes
// its cluster.
func described(dir string, marker *datadir.Marker) string {
	if marker == nil {
		return dir
	}
	switch marker.ServedBy() {
	case datadir.Server:
		return dir + " (a server, with its cluster)"
	case datadir.Agent:
		return fmt.Sprintf("%s (an agent, the node %s of another box's cluster)", dir, marker.Node)
	default:
		return dir
	}
}

// stopTimeout is longer than a server or an agent takes, which is 10 s at most.
const stopTimeout = 20 * time.Second

// takeOver stops the owner and takes its lock, so that nothing starts from the
// folder meanwhile. A folder that is not there has none.
func takeOver(ctx context.Context, dir string, owner *datadir.Owner) (*os.File, error) {
	if owner != nil {
		ctx, cancel := context.WithTimeout(ctx, stopTimeout)
		defer cancel()
		if err := owner.Stop(ctx); err != nil {
			return nil, err
		}
	}
	if _, err := os.Stat(dir); os.IsNotExist(err) {
		return nil, nil
	}
	return datadir.Lock(dir, datadir.Uninstall)
}
