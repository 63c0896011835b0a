package docs

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// command is one command of a shell example.
type command struct {
	line  int
	words []string
	// stdin is a here-document.
	stdin string
}

var (
	heredoc    = regexp.MustCompile(`<<-?\s*['"]?(\w+)['"]?`)
	assignment = regexp.MustCompile(`^[A-Za-z_]\w*=`)
	// blank is a word for the reader to fill in.
	blank = regexp.MustCompile(`\b[A-Z][A-Z0-9_]*[A-Z]\b|<[a-z-]+>|\.\.\.|…|\$`)
)

// commands takes a shell example apart: lines, continued lines, here-documents,
// lists and pipes. In a console's text only what follows a prompt is a command.
func commands(b block) []command {
	var out []command
	lines := strings.Split(b.text, "\n")
	console := b.lang == "console"
	for i := 0; i < len(lines); i++ {
		at, text := b.line+i, strings.TrimSpace(lines[i])
		prompt, is := strings.CutPrefix(text, "$ ")
		if !is {
			prompt, is = strings.CutPrefix(text, "# ")
			is = is && console
		}
		if console && !is {
			continue // output
		}
		if is {
			text = prompt
		}
		for strings.HasSuffix(text, "\\") && i+1 < len(lines) {
			i++
			text = strings.TrimSuffix(text, "\\") + strings.TrimSpace(lines[i])
		}
		stdin := ""
		if m := heredoc.FindStringSubmatch(text); m != nil {
			text = strings.Replace(text, m[0], "", 1)
			for i++; i < len(lines) && strings.TrimSpace(lines[i]) != m[1]; i++ {
				stdin += lines[i] + "\n"
			}
		}
		for _, words := range split(text) {
			if words = program(words); len(words) > 0 {
				out = append(out, command{at, words, stdin})
			}
		}
	}
	return out
}

// program drops what may stand before a command's name.
func program(words []string) []string {
	for len(words) > 0 && (assignment.MatchString(words[0]) || slices.Contains([]string{"sudo", "nice", "exec", "time", "env", "!"}, words[0])) {
		words = words[1:]
	}
	return words
}

// split divides a line into the words of its commands: at blanks, operators and
// substitutions, outside of quotes. Redirections are left out.
func split(text string) [][]string {
	var out [][]string
	var words []string
	var word strings.Builder
	in, quote, redirect := false, rune(0), false
	end := func() {
		if in && !redirect {
			words = append(words, word.String())
		}
		redirect = redirect && !in
		word.Reset()
		in = false
	}
	next := func() {
		end()
		if len(words) > 0 {
			out = append(out, words)
		}
		words, redirect = nil, false
	}
	for i, r := range text {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, in = r, true
		case r == '#' && !in:
			next()
			return out
		case r == ' ' || r == '\t':
			end()
		case strings.ContainsRune("|;&()", r):
			if i > 0 && r == '&' && text[i-1] == '>' {
				continue // 2>&1
			}
			next()
		case r == '>' || r == '<' && !in:
			if in && (word.String() == "2" || word.String() == "1") {
				in = false
				word.Reset()
			}
			end()
			redirect = true
		default:
			word.WriteRune(r)
			in = true
		}
	}
	next()
	return out
}

func TestCommands(t *testing.T) {
	for text, want := range map[string]string{
		"make build   # all of it":                 "make build",
		"sudo A=b skiff server --data-dir '/a b'":  "skiff server --data-dir /a b",
		"cd x && make y | tee log >out 2>&1":       "cd x / make y / tee log",
		"kubectl apply -f - <<END\nkind: Pod\nEND": "kubectl apply -f -",
		"skiff images \\\n  import FILE":           "skiff images import FILE",
		"source <(skiff completion bash)":          "source / skiff completion bash",
		"$ make x":                                 "make x",
		"kill $(cat skiff.pid)":                    "kill $ / cat skiff.pid",
	} {
		var got []string
		for _, c := range commands(block{lang: "sh", text: text}) {
			got = append(got, strings.Join(c.words, " "))
		}
		if s := strings.Join(got, " / "); s != want {
			t.Errorf("%q: got %q, want %q", text, s, want)
		}
	}
}
