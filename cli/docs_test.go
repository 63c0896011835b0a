package cli

import (
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

var update = flag.Bool("update", false, "rewrite the tables of flags in docs/cli.md")

const reference = "../docs/cli.md"

// flagTable finds a table in the reference: the command it is of, and its rows.
var flagTable = regexp.MustCompile(`(?s)<!-- flags of (skiff [a-z ]+) -->\n(.*?)<!-- end -->`)

// TestReference: docs/cli.md has a section for each command, and its tables have
// the flags as they are.
func TestReference(t *testing.T) {
	text := readText(t, reference)
	commands := map[string]*cli.Command{}
	for _, c := range newApp(io.Discard, io.Discard).Commands {
		if !strings.Contains(text, "\n## skiff "+c.Name+"\n") {
			t.Errorf("%s has no section on skiff %s", reference, c.Name)
		}
		commands["skiff "+c.Name] = c
		for _, sub := range c.Subcommands {
			commands["skiff "+c.Name+" "+sub.Name] = sub
		}
	}
	// Of check the page says that its flags are the server's and the agent's, of
	// kubectl they are its own.
	names := slices.DeleteFunc(flagNames(commands["skiff check"].Flags), func(n string) bool { return n == flagConfig })
	if slices.Sort(names); !slices.Equal(names, configKeys()) {
		t.Errorf("the flags of check are not the server's and the agent's: %q", names)
	}
	shown := map[string]bool{"skiff check": true, "skiff kubectl": true}
	rewritten := flagTable.ReplaceAllStringFunc(text, func(table string) string {
		name := flagTable.FindStringSubmatch(table)[1]
		c, ok := commands[name]
		if !ok {
			t.Errorf("%s has flags of %s, which is no command", reference, name)
			return table
		}
		shown[name] = true
		return fmt.Sprintf("<!-- flags of %s -->\n%s<!-- end -->", name, flagRows(c.Flags))
	})
	for name, c := range commands {
		if len(c.Flags) > 0 && !shown[name] {
			t.Errorf("%s has no table of the flags of %s", reference, name)
		}
	}
	if rewritten == text {
		return
	}
	if !*update {
		t.Fatalf("%s has other flags than the commands; rewrite it with go test ./cli -run TestReference -update", reference)
	}
	if err := os.WriteFile(reference, []byte(rewritten), 0o644); err != nil {
		t.Fatal(err)
	}
}

// flagRows writes flags as a table of Markdown.
func flagRows(flags []cli.Flag) string {
	var b strings.Builder
	b.WriteString("\n| flag | default | what it is |\n|---|---|---|\n")
	for _, f := range flags {
		var names []string
		for _, n := range f.Names() {
			names = append(names, "`"+strings.Repeat("-", min(len(n), 2))+n+"`")
		}
		d := f.(cli.DocGenerationFlag)
		value, usage := strings.Trim(d.GetDefaultText(), `"`), d.GetUsage()
		switch f := f.(type) {
		case *cli.BoolFlag:
			value = ""
		case *cli.StringSliceFlag:
			usage += "; a list"
			value = ""
			if f.Value != nil {
				value = strings.Join(f.Value.Value(), ",")
			}
		}
		if value != "" {
			value = "`" + value + "`"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", strings.Join(names, ", "), value, usage)
	}
	b.WriteString("\n")
	return b.String()
}
