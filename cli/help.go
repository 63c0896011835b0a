package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"
)

const helpIndent = "   "

// printHelp writes the help of an app or a command. It stands in for the
// library's own printer, whose templates call methods by their names: the linker
// could then drop no method of any type (docs/adr/0006-linked-code.md).
func printHelp(w io.Writer, _ string, of any) {
	h := help{w: tabwriter.NewWriter(w, 1, 8, 2, ' ', 0)}
	switch of := of.(type) {
	case *cli.App:
		h.head(of.HelpName, of.Usage, of.UsageText, of.Description)
		h.commands(of.VisibleCommands())
		h.flags("GLOBAL OPTIONS", of.VisibleFlags())
	case *cli.Command:
		h.head(of.HelpName, of.Usage, of.UsageText, of.Description)
		h.commands(of.VisibleCommands())
		h.flags("OPTIONS", of.VisibleFlags())
	}
	h.w.Flush()
}

// help writes sections, each below a title.
type help struct{ w *tabwriter.Writer }

func (h help) head(name, usage, usageText, description string) {
	if usage != "" {
		name += " - " + usage
	}
	fmt.Fprintf(h.w, "NAME:\n%s%s\n\nUSAGE:\n", helpIndent, name)
	h.lines(usageText)
	if description != "" {
		fmt.Fprint(h.w, "\nDESCRIPTION:\n")
		h.lines(description)
	}
}

func (h help) lines(text string) {
	for line := range strings.SplitSeq(text, "\n") {
		fmt.Fprintf(h.w, "%s%s\n", helpIndent, line)
	}
}

// commands leaves out the one for help, which the library adds to each command.
func (h help) commands(commands []*cli.Command) {
	commands = slices.DeleteFunc(commands, func(c *cli.Command) bool { return c.Name == "help" })
	if len(commands) == 0 {
		return
	}
	fmt.Fprint(h.w, "\nCOMMANDS:\n")
	for _, c := range commands {
		fmt.Fprintf(h.w, "%s%s\t%s\n", helpIndent, strings.Join(c.Names(), ", "), c.Usage)
	}
}

// flags relies on a flag's text being its names and its usage, with a tab between
// them.
func (h help) flags(title string, flags []cli.Flag) {
	if len(flags) == 0 {
		return
	}
	fmt.Fprintf(h.w, "\n%s:\n", title)
	for _, f := range flags {
		fmt.Fprintf(h.w, "%s%s\n", helpIndent, f)
	}
}
