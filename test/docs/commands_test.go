package docs

import (
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/kubectl/pkg/cmd"
)

// command checks one command of an example; with run set it is also run if that
// is cheap and leads to an end. Programs that are not the project's are none of
// its business.
func (c *cluster) command(cmd command, run bool) error {
	name, args := cmd.words[0], cmd.words[1:]
	run = run && !slices.ContainsFunc(cmd.words, blank.MatchString)
	switch base := path.Base(name); {
	case base == "skiff" && len(args) > 0 && args[0] == "kubectl":
		return c.kubectl(command{cmd.line, args, cmd.stdin}, run)
	case base == "skiff":
		return c.skiff(args, run)
	case base == "kubectl":
		return c.kubectl(cmd, run)
	case name == "make":
		return makes(args)
	case name == "go" && len(args) > 0 && args[0] == "test":
		return goTests(args[1:])
	case strings.HasPrefix(name, "scripts/"):
		if info, err := os.Stat(filepath.Join(root, name)); err != nil || info.Mode()&0o111 == 0 {
			return fmt.Errorf("%s is no script", name)
		}
	}
	return nil
}

var (
	helpFlag    = regexp.MustCompile(`(?m)^   (--.*?)  `)
	helpCommand = regexp.MustCompile(`(?m)^   ([a-z]+)  `)
	flagName    = regexp.MustCompile(`--?([a-z][a-z-]*)`)
)

// help is what `skiff COMMAND --help` tells.
type help struct{ flags, commands []string }

// helps are those that were asked for.
var helps = map[string]help{}

func (c *cluster) help(command ...string) (help, error) {
	key := strings.Join(command, " ")
	if h, ok := helps[key]; ok {
		return h, nil
	}
	out, err := c.run("", "skiff", append(slices.Clone(command), "--help")...)
	if err != nil {
		return help{}, err
	}
	var h help
	for _, m := range helpFlag.FindAllStringSubmatch(out+"  ", -1) {
		for _, f := range flagName.FindAllStringSubmatch(m[1], -1) {
			h.flags = append(h.flags, f[1])
		}
	}
	if _, list, ok := strings.Cut(out, "COMMANDS:\n"); ok {
		list, _, _ = strings.Cut(list, "\n\n")
		for _, m := range helpCommand.FindAllStringSubmatch(list, -1) {
			h.commands = append(h.commands, m[1])
		}
	}
	helps[key] = h
	return h, nil
}

// skiff checks the command and its flags, and runs those that only read.
func (c *cluster) skiff(args []string, run bool) error {
	var command []string
	h, err := c.help()
	if err != nil {
		return err
	}
	for len(args) > 0 && len(h.commands) > 0 && !strings.HasPrefix(args[0], "-") && !blank.MatchString(args[0]) {
		if !slices.Contains(h.commands, args[0]) {
			return fmt.Errorf("skiff %s: there is no command %s", strings.Join(command, " "), args[0])
		}
		command, args = append(command, args[0]), args[1:]
		if h, err = c.help(command...); err != nil {
			return err
		}
	}
	for _, a := range args {
		if m := flagName.FindStringSubmatch(a); m != nil && strings.HasPrefix(a, "-") && !slices.Contains(h.flags, m[1]) {
			return fmt.Errorf("skiff %s has no flag %s", strings.Join(command, " "), a)
		}
	}
	if !run || len(command) == 0 {
		return nil
	}
	switch command[0] {
	case "server", "check":
		if !slices.Contains(args, "--config") {
			return c.check(args...)
		}
	case "version", "completion":
		_, err := c.run("", "skiff", append(command, args...)...)
		return err
	}
	return nil
}

// endless are the commands of kubectl that wait for containers or for people.
var endless = []string{"attach", "cp", "debug", "drain", "edit", "exec", "logs", "port-forward", "proxy", "rollout status", "top", "wait"}

// kubectl checks the command and its flags with kubectl's own tree of commands,
// and runs it. That an object is not there is the cluster's fault, which has only
// docs/examples and nobody who acts on them.
func (c *cluster) kubectl(example command, run bool) error {
	args := example.words[1:]
	tree := cmd.NewDefaultKubectlCommandWithArgs(cmd.KubectlOptions{
		Arguments: example.words, IOStreams: genericiooptions.IOStreams{In: strings.NewReader(""), Out: io.Discard, ErrOut: io.Discard},
	})
	found, rest, err := tree.Find(args)
	if err != nil {
		return err
	}
	if err := found.ParseFlags(rest); err != nil {
		return fmt.Errorf("kubectl %s: %w", strings.Join(args, " "), err)
	}
	if found.HasSubCommands() && found != tree && len(found.Flags().Args()) > 0 && found.Parent() == tree && !found.Runnable() {
		return fmt.Errorf("%s has no command %s", found.CommandPath(), found.Flags().Args()[0])
	}
	name := strings.TrimPrefix(found.CommandPath(), "kubectl ")
	watches := func(flag string) bool {
		f := found.Flags().Lookup(flag)
		return f != nil && f.Value.String() == "true"
	}
	if !run || found == tree || slices.Contains(endless, name) || watches("watch") || watches("tty") || watches("attach") {
		return nil
	}
	if err := c.applied(); err != nil {
		return err
	}
	if name == "delete" {
		args = append(args, "--wait=false") // nobody confirms the end of anything
	}
	if _, err = c.run(example.stdin, "kubectl", args...); err != nil && !strings.Contains(err.Error(), "(NotFound)") {
		return err
	}
	return nil
}

var target = regexp.MustCompile(`(?m)^([a-z][a-z-]*):`)

// makes checks that the Makefile has these targets.
func makes(args []string) error {
	b, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		return err
	}
	for _, a := range args {
		if assignment.MatchString(a) || blank.MatchString(a) || strings.HasPrefix(a, "-") {
			continue
		}
		if !slices.ContainsFunc(target.FindAllStringSubmatch(string(b), -1), func(m []string) bool { return m[1] == a }) {
			return fmt.Errorf("make has no target %s", a)
		}
	}
	return nil
}

// goTests checks that the packages are there, and that -run and -bench name tests
// that they have.
func goTests(args []string) error {
	var patterns, folders []string
	for i, a := range args {
		switch {
		case (a == "-run" || a == "-bench") && i+1 < len(args):
			patterns = append(patterns, args[i+1])
		case strings.HasPrefix(a, "./"):
			folders = append(folders, strings.TrimSuffix(a, "/..."))
		}
	}
	names := ""
	for _, f := range folders {
		if info, err := os.Stat(filepath.Join(root, f)); err != nil || !info.IsDir() {
			return fmt.Errorf("there is no package %s", f)
		}
		files, err := filepath.Glob(filepath.Join(root, f, "*_test.go"))
		if err != nil {
			return err
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			names += string(b)
		}
	}
	for _, p := range patterns {
		first, _, _ := strings.Cut(p, "/")
		re, err := regexp.Compile(`(?m)^func (?:Test|Benchmark)\w*`)
		if err != nil {
			return err
		}
		want, err := regexp.Compile(first)
		if err != nil {
			return err
		}
		if first != "XXX" && !slices.ContainsFunc(re.FindAllString(names, -1), func(f string) bool { return want.MatchString(strings.TrimPrefix(f, "func ")) }) {
			return fmt.Errorf("no test of %v fits %q", folders, p)
		}
	}
	return nil
}
