// Package cli is the command line of skiff: its commands, their flags, the
// configuration file and the environment, and the exit codes. It turns what the
// user typed into the configurations of the packages that do the work, and their
// errors into one line each.
//
// Every flag of `skiff server` and `skiff agent` is also a key of the
// configuration file and a SKIFF_ variable; the flag wins over the variable, and
// the variable over the file.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"skiff/version"
)

// Exit codes of skiff.
const (
	exitOK = 0
	// exitFailure tells that something could not be done.
	exitFailure = 1
	// exitUsage tells that the command line or the configuration is wrong.
	exitUsage = 2
)

// usageError is a mistake of the user's in flags, variables or configuration.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exitCode is an error that stands for an exit code alone: what there was to say
// has been said.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// Main runs skiff with args (args[0] is the program) until it is done or ctx
// ends, and returns the exit code.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	app := newApp(stdout, stderr)
	err := app.RunContext(ctx, flagsFirst(app, args))
	var code exitCode
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, &usage):
		printError(stderr, err)
		return exitUsage
	default:
		printError(stderr, err)
		return exitFailure
	}
}

// printError writes each line of err as an error of its own: a joined error is a
// list of mistakes.
func printError(w io.Writer, err error) {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintf(w, "skiff: %s\n", line)
	}
}

func newApp(stdout, stderr io.Writer) *cli.App {
	cli.HelpPrinter = printHelp
	app := &cli.App{
		Name:                 "skiff",
		HelpName:             "skiff",
		Usage:                "a Kubernetes cluster in one small process",
		UsageText:            "skiff COMMAND [flags]",
		Version:              version.Skiff,
		HideVersion:          true,
		HideHelpCommand:      true,
		EnableBashCompletion: true,
		Writer:               stdout,
		ErrWriter:            stderr,
		ExitErrHandler:       func(*cli.Context, error) {},
		OnUsageError:         onUsageError,
		Flags:                []cli.Flag{&cli.BoolFlag{Name: "version", Usage: "as the command version", DisableDefaultText: true}},
		Action:               unknownCommand,
		Commands: []*cli.Command{
			serverCommand(),
			agentCommand(),
			kubectlCommand(),
			tokenCommand(),
			imagesCommand(),
			checkCommand(),
			uninstallCommand(),
			versionCommand(),
			completionCommand(),
		},
	}
	for _, c := range app.Commands {
		c.OnUsageError = onUsageError
		for _, sub := range c.Subcommands {
			sub.OnUsageError = onUsageError
		}
	}
	return app
}

// unknownCommand is what runs if the first argument names no command.
func unknownCommand(c *cli.Context) error {
	if c.Bool("version") {
		return printVersion(c)
	}
	if !c.Args().Present() {
		return cli.ShowAppHelp(c)
	}
	var names []string
	for _, cmd := range c.App.Commands {
		names = append(names, cmd.Name)
	}
	return usagef("there is no command %q%s; `skiff --help` lists them", c.Args().First(), didYouMean(c.Args().First(), names))
}

// undefinedFlag is how the flag package begins its message about one.
const undefinedFlag = "flag provided but not defined: -"

func onUsageError(c *cli.Context, err error, _ bool) error {
	if variable, ok := strings.CutPrefix(err.Error(), "could not parse "); ok {
		variable, _, _ = strings.Cut(variable, " for flag ")
		return usagef("cannot read %s", variable)
	}
	name, undefined := strings.CutPrefix(err.Error(), undefinedFlag)
	if !undefined {
		return usagef("%w; `%s --help` lists the flags", err, commandLine(c))
	}
	name = strings.TrimLeft(name, "-")
	var known []string
	if c.Command != nil {
		for _, f := range c.Command.Flags {
			known = append(known, f.Names()...)
		}
	}
	return usagef("there is no flag --%s%s; `%s --help` lists them", name, didYouMeanFlag(name, known), commandLine(c))
}

func commandLine(c *cli.Context) string {
	if c.Command == nil || c.Command.Name == c.App.Name {
		return "skiff"
	}
	return c.Command.HelpName
}

// requireRoot refuses early what would fail halfway.
func requireRoot(what string) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%s needs root: it mounts, makes links and writes kernel rules; run it with sudo", what)
	}
	return nil
}
