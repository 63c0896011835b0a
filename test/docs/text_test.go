package docs

import (
	"fmt"
	"os"
	osexec "os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// TestText holds what stands in the text as code against the code.
func TestText(t *testing.T) {
	c := newCluster(t)
	each(t, func(t *testing.T, p *page) {
		for _, code := range p.code {
			if err := c.exists(p, code.text); err != nil {
				t.Errorf("%s:%d: `%s`: %v", p.path, code.line, code.text, err)
			}
		}
	})
}

var (
	flag     = regexp.MustCompile(`^--([a-z][a-z-]*)`)
	variable = regexp.MustCompile(`^((?:SKIFF|QUICKSTART|FOOTPRINT)_[A-Z_]*[A-Z])\b`)
	pathlike = regexp.MustCompile(`^[a-z0-9_./*-]+$`)
)

// exists tells whether what text names does.
func (c *cluster) exists(p *page, text string) error {
	words := strings.Fields(text)
	if m := variable.FindStringSubmatch(text); m != nil {
		return inSources(m[1])
	}
	switch {
	case len(words) > 1 && (words[0] == "skiff" || words[0] == "make" || words[0] == "kubectl" || words[0] == "go"):
		for _, cmd := range commands(block{lang: "sh", text: text}) {
			if err := c.command(cmd, false); err != nil {
				return err
			}
		}
	case flag.MatchString(text) && strings.HasPrefix(p.path, "docs/adr/"):
		return nil // decisions also speak of others' flags
	case flag.MatchString(text):
		return c.anyFlag(flag.FindStringSubmatch(text)[1])
	case pathlike.MatchString(text) && strings.Contains(text, "/"):
		return ours(p, text)
	}
	return nil
}

// anyFlag tells whether any command of skiff has a flag.
func (c *cluster) anyFlag(name string) error {
	has, err := c.hasFlag(name)
	if err != nil || has {
		return err
	}
	return fmt.Errorf("no command of skiff has the flag --%s", name)
}

// hasFlag tells whether a command has a flag, or one of those below it.
func (c *cluster) hasFlag(name string, command ...string) (bool, error) {
	h, err := c.help(command...)
	if err != nil || slices.Contains(h.flags, name) {
		return err == nil, err
	}
	for _, below := range h.commands {
		if has, err := c.hasFlag(name, append(slices.Clone(command), below)...); err != nil || has {
			return has, err
		}
	}
	return false, nil
}

// ours tells whether a path that begins like one of the project's is there: below
// the root, or beside a note on a package.
func ours(p *page, text string) error {
	first, _, _ := strings.Cut(strings.TrimPrefix(text, "./"), "/")
	if first == "" {
		return nil
	}
	info, err := os.Stat(filepath.Join(root, first))
	if err != nil || !info.IsDir() || slices.Contains([]string{"bin", "dist"}, first) {
		return nil // a path of a box, an image, an import
	}
	name := strings.TrimSuffix(strings.TrimSuffix(text, "/..."), "/")
	for _, dir := range []string{"", path.Dir(p.path)} {
		if found, err := filepath.Glob(filepath.Join(root, dir, name)); err == nil && len(found) > 0 {
			return nil
		}
	}
	return fmt.Errorf("there is no such file or folder")
}

// sources are all programs and scripts, in which a variable must be found.
var sources = sync.OnceValues(func() (string, error) {
	cmd := osexec.Command("git", "grep", "-hoE", "--untracked", `(SKIFF|QUICKSTART|FOOTPRINT)_[A-Z_]*[A-Z]`, "--", "*.go", "scripts", "Makefile", ":!test/docs")
	cmd.Dir = root
	out, err := cmd.Output()
	return "\n" + string(out), err
})

// inSources tells whether a variable is read: the flags' are made of their names.
func inSources(name string) error {
	all, err := sources()
	if err != nil {
		return fmt.Errorf("git grep: %w", err)
	}
	if strings.Contains(all, "\n"+name+"\n") {
		return nil
	}
	c := &cluster{env: os.Environ()}
	for _, command := range []string{"server", "agent"} {
		out, err := c.run("", "skiff", command, "--help")
		if err != nil {
			return err
		}
		if strings.Contains(out, "[$"+name+"]") {
			return nil
		}
	}
	return fmt.Errorf("nothing reads this variable")
}

// TestLinks follows the links between pages. Those to elsewhere are not followed.
func TestLinks(t *testing.T) {
	byPath := map[string]*page{}
	for _, p := range pages(t) {
		byPath[p.path] = p
	}
	for _, p := range byPath {
		for _, l := range p.links {
			if strings.HasPrefix(l.text, "https://") {
				continue
			}
			file, fragment, _ := strings.Cut(l.text, "#")
			to := p.path
			if file != "" {
				to = path.Join(path.Dir(p.path), file)
			}
			if _, err := os.Stat(filepath.Join(root, to)); err != nil {
				t.Errorf("%s:%d: the link leads to %s, which is not there", p.path, l.line, to)
			} else if fragment != "" && (byPath[to] == nil || !byPath[to].anchors[fragment]) {
				t.Errorf("%s:%d: %s has no heading #%s", p.path, l.line, to, fragment)
			}
		}
	}
}

// TestFootprint: the rows that `make footprint` prints fit the tables.
func TestFootprint(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs/footprint.md"))
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile(filepath.Join(root, "scripts/footprint"))
	if err != nil {
		t.Fatal(err)
	}
	headers := regexp.MustCompile(`(?m)^\| release \|.*$`).FindAllString(string(page), -1)
	rows := regexp.MustCompile(`docs/footprint\.md:\\n(\|.*?)\\n`).FindAllStringSubmatch(string(script), -1)
	if len(headers) == 0 || len(headers) != len(rows) {
		t.Fatalf("docs/footprint.md has the tables %q, scripts/footprint prints %q", headers, rows)
	}
	for i, row := range rows {
		if strings.Count(headers[i], "|") != strings.Count(row[1], "|") {
			t.Errorf("docs/footprint.md has the columns %q, scripts/footprint prints %q", headers[i], row[1])
		}
	}
}

// TestIndex: docs/README.md leads to every page, and adr/README.md to every
// decision; these are numbered.
func TestIndex(t *testing.T) {
	all := pages(t)
	linked := map[string]bool{}
	for _, p := range all {
		if p.path == "docs/README.md" || p.path == "docs/adr/README.md" {
			for _, l := range p.links {
				linked[path.Join(path.Dir(p.path), strings.Split(l.text, "#")[0])] = true
			}
		}
	}
	numbered := regexp.MustCompile(`^docs/adr/(README|\d{4}-[a-z0-9-]+)\.md$`)
	for _, p := range all {
		if strings.HasPrefix(p.path, "docs/") && p.path != "docs/README.md" && !linked[p.path] {
			t.Errorf("no index leads to %s: add it to docs/README.md or docs/adr/README.md", p.path)
		}
		if strings.HasPrefix(p.path, "docs/adr/") && !numbered.MatchString(p.path) {
			t.Errorf("%s has no number", p.path)
		}
	}
}
