package cli

import (
	"github.com/urfave/cli/v2"

	"skiff/cli/check"
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
	box := check.Box{DataDir: cfg.DataDir, HTTPSPort: cfg.HTTPSPort}
	if !check.Run(c.Context, c.App.Writer, check.All(box)) {
		return exitCode(exitFailure)
	}
	return nil
}
