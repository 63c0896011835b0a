package cli

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

var (
	//go:embed completion/bash
	bashCompletion string
	//go:embed completion/zsh
	zshCompletion string
	//go:embed completion/fish
	fishCompletion string
)

var completions = map[string]*string{
	"bash": &bashCompletion,
	"zsh":  &zshCompletion,
	"fish": &fishCompletion,
}

func completionCommand() *cli.Command {
	shells := strings.Join(slices.Sorted(maps.Keys(completions)), ", ")
	return &cli.Command{
		Name:        "completion",
		Usage:       "print the completion script for a shell",
		UsageText:   "skiff completion SHELL",
		Description: "For this shell only:  source <(skiff completion bash)\nShells: " + shells,
		Action: func(c *cli.Context) error {
			shell := c.Args().First()
			if shell == "" {
				return usagef("completion: name a shell: %s", shells)
			}
			script, ok := completions[shell]
			if !ok {
				return usagef("completion: there is no script for %q, only for %s", shell, shells)
			}
			fmt.Fprint(c.App.Writer, *script)
			return nil
		},
	}
}
