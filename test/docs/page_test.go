package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// root is the repository.
const root = "../.."

// page is a Markdown file, as far as it can be held against the code.
type page struct {
	// path is relative to root.
	path   string
	blocks []block
	// code are the pieces of text in backquotes, links the targets of links.
	code, links []piece
	anchors     map[string]bool
}

// block is a block of code.
type block struct {
	line int // of its first line
	// lang is what a fence says after its backquotes; "indent" without a fence.
	lang, text string
}

type piece struct {
	line int
	text string
}

var (
	inline   = regexp.MustCompile("`+([^`]+)`+")
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading  = regexp.MustCompile(`^#+ +(.*)$`)
	unlinked = regexp.MustCompile(`[^\p{L}\p{N}\- ]`)
)

// parse reads what it needs of Markdown, as these pages use it.
func parse(path, text string) *page {
	p := &page{path: path, anchors: map[string]bool{}}
	var open *block
	blank, margin := true, ""
	for i, line := range strings.Split(text, "\n") {
		fence, fenced := strings.CutPrefix(strings.TrimLeft(line, " "), "```")
		switch {
		case fenced && open != nil && open.lang != "indent":
			open = nil
		case fenced:
			p.blocks = append(p.blocks, block{line: i + 2, lang: strings.TrimSpace(fence)})
			open = &p.blocks[len(p.blocks)-1]
			margin = line[:strings.Index(line, "```")]
		case open != nil && open.lang != "indent":
			open.text += strings.TrimPrefix(line, margin) + "\n"
		case strings.HasPrefix(line, "    ") && (blank || open != nil):
			if open == nil {
				p.blocks = append(p.blocks, block{line: i + 1, lang: "indent"})
				open = &p.blocks[len(p.blocks)-1]
			}
			open.text += line[4:] + "\n"
		case open != nil && line == "":
			open.text += "\n"
		default:
			open = nil
			p.prose(i+1, line)
		}
		blank = line == ""
	}
	return p
}

func (p *page) prose(n int, line string) {
	if m := heading.FindStringSubmatch(line); m != nil {
		p.anchors[anchor(m[1])] = true
	}
	for _, m := range inline.FindAllStringSubmatch(line, -1) {
		p.code = append(p.code, piece{n, m[1]})
	}
	for _, m := range link.FindAllStringSubmatch(inline.ReplaceAllString(line, ""), -1) {
		p.links = append(p.links, piece{n, m[1]})
	}
}

// anchor is what a heading is linked by.
func anchor(heading string) string {
	return strings.ReplaceAll(unlinked.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
}

// pages are all Markdown files under version control, or about to be.
func pages(t *testing.T) []*page {
	t.Helper()
	cmd := exec.Command("git", "ls-files", "-co", "--exclude-standard", "*.md")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	var all []*page
	for _, path := range strings.Fields(string(out)) {
		b, err := os.ReadFile(filepath.Join(root, path))
		if os.IsNotExist(err) {
			continue // removed, and not committed yet
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, parse(path, string(b)))
	}
	return all
}

// each runs f for each page as a test of its own.
func each(t *testing.T, f func(t *testing.T, p *page)) {
	for _, p := range pages(t) {
		t.Run(p.path, func(t *testing.T) { f(t, p) })
	}
}

func TestParse(t *testing.T) {
	p := parse("x.md", "# A `b` c!\n\nSee [it](other.md#x) and `--flag`.\n\n    make x\n\n    make y\n\ntext\n```yaml\na: b\n```\n")
	if len(p.blocks) != 2 || p.blocks[0] != (block{5, "indent", "make x\n\nmake y\n\n"}) || p.blocks[1] != (block{11, "yaml", "a: b\n"}) {
		t.Errorf("blocks: %+v", p.blocks)
	}
	if len(p.links) != 1 || p.links[0] != (piece{3, "other.md#x"}) || !p.anchors["a-b-c"] {
		t.Errorf("links: %+v, anchors: %v", p.links, p.anchors)
	}
	if len(p.code) != 2 || p.code[1] != (piece{3, "--flag"}) {
		t.Errorf("code: %+v", p.code)
	}
}
