package cli

import (
	"log/slog"
	"net/netip"

	"github.com/urfave/cli/v2"

	"skiff/cli/check"
	"skiff/version"
)

func checkCommand() *cli.Command {
	return &cli.Command{
		Name:      "check",
		Usage:     "find out whether this box is fit to run skiff",
		UsageText: "skiff check [flags]",
		Flags:     serverFlags(),
		Action:    runCheck,
	}
}

func runCheck(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	cfg, err := serverConfig(c)
	if err != nil {
		return err
	}
	if err := setUpLog(c, c.App.ErrWriter, slog.LevelWarn); err != nil {
		return err
	}
	box := check.Box{
		DataDir: cfg.DataDir, BindAddress: cfg.BindAddress, HTTPSPort: cfg.HTTPSPort,
		Node: !cfg.DisableAgent, DNS: !cfg.DisableAgent && !cfg.Disabled("dns"),
		Ranges:  map[string][]netip.Prefix{"cluster-cidr": cfg.ClusterCIDRs, "service-cidr": cfg.ServiceCIDRs},
		Built:   version.Built(),
		Address: cfg.Address,
	}
	if !check.Run(c.Context, c.App.Writer, check.All(box)) {
		return exitCode(exitFailure)
	}
	return nil
}
