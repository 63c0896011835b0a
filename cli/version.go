package cli

import (
	"encoding/json"
	"fmt"

	"github.com/urfave/cli/v2"

	"skiff/version"
)

func versionCommand() *cli.Command {
	return &cli.Command{
		Name:      "version",
		Usage:     "print the versions of this build",
		UsageText: "skiff version [--output json]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "json for machines"},
		},
		Action: printVersion,
	}
}

func printVersion(c *cli.Context) error {
	info := version.Info()
	switch output := c.String("output"); output {
	case "":
		fmt.Fprintf(c.App.Writer, "skiff %s (Kubernetes %s, %s, %s)\n", version.Skiff, info.GitVersion, info.GoVersion, info.Platform)
		return nil
	case "json":
		enc := json.NewEncoder(c.App.Writer)
		enc.SetIndent("", "  ")
		return enc.Encode(map[string]any{"skiff": version.Skiff, "kubernetes": info})
	default:
		return usagef("output: %q is not a format, use json", output)
	}
}
