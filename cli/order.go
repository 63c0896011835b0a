package cli

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// flagsFirst moves the flags of a command before its arguments, as its parser
// wants them and users of kubectl don't: `images import FILE --data-dir DIR`.
// What follows "--" stays.
func flagsFirst(app *cli.App, args []string) []string {
	if len(args) == 0 {
		return args
	}
	command, at := findCommand(app, args)
	if command == nil || command.SkipFlagParsing {
		return args
	}
	var flags, arguments []string
	for i := at; i < len(args); i++ {
		if args[i] == "--" {
			arguments = append(arguments, args[i:]...)
			break
		}
		if !strings.HasPrefix(args[i], "-") || args[i] == "-" {
			arguments = append(arguments, args[i])
			continue
		}
		takes, known := flagTakes(command, args[i])
		switch {
		case !known, takes && i+1 == len(args):
			// The parser's complaint about this one is all that will come of it.
			return slices.Concat(args[:at], flags, args[i:])
		case takes:
			flags = append(flags, args[i], args[i+1])
			i++
		default:
			flags = append(flags, args[i])
		}
	}
	return slices.Concat(args[:at], flags, arguments)
}

// findCommand follows the names of commands in args, and returns the last one and
// where its own words begin.
func findCommand(app *cli.App, args []string) (command *cli.Command, at int) {
	commands := app.Commands
	for at = 1; at < len(args); at++ {
		i := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(args[at]) })
		if i < 0 {
			break
		}
		command, commands = commands[i], commands[i].Subcommands
	}
	return command, at
}

// flagTakes tells whether word is a flag of the command, and whether the next
// word is its value.
func flagTakes(command *cli.Command, word string) (takes, known bool) {
	name, _, valued := strings.Cut(strings.TrimLeft(word, "-"), "=")
	if name == "help" || name == "h" {
		return false, true
	}
	for _, f := range command.Flags {
		if slices.Contains(f.Names(), name) {
			_, isBool := f.(*cli.BoolFlag)
			return !isBool && !valued, true
		}
	}
	return false, false
}
