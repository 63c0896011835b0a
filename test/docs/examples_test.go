package docs

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// TestExamples executes every block of code in the documentation.
func TestExamples(t *testing.T) {
	each(t, func(t *testing.T, p *page) {
		if len(p.blocks) == 0 {
			t.Skip("has no examples")
		}
		c := newCluster(t)
		for _, b := range p.blocks {
			if err := c.execute(t, b); err != nil {
				t.Errorf("%s:%d: %v", p.path, b.line, err)
			}
		}
	})
}

// execute does with a block what its language says.
func (c *cluster) execute(t *testing.T, b block) error {
	lang, whose, _ := strings.Cut(b.lang, " ")
	switch lang {
	case "", "text":
		return nil // drawings, formats, what programs print
	case "indent", "sh", "console":
		return c.shell(b)
	case "yaml":
		if whose != "" {
			return parses(b.text)
		}
		return c.yaml(t, b.text)
	case "json":
		var v any
		return json.Unmarshal([]byte(b.text), &v)
	case "ini":
		return c.unit(b)
	}
	return fmt.Errorf("a block of %q cannot be executed: use sh, console, yaml, json, ini or text", b.lang)
}

// parses tells whether text is YAML at all.
func parses(text string) error {
	for _, doc := range strings.Split(text, "\n---\n") {
		var v any
		if err := yaml.UnmarshalStrict([]byte(doc), &v); err != nil {
			return err
		}
	}
	return nil
}

var kind = regexp.MustCompile(`(?m)^kind:`)

// yaml creates manifests, without keeping them, or reads a configuration file.
func (c *cluster) yaml(t *testing.T, text string) error {
	if kind.MatchString(text) {
		if err := c.applied(); err != nil {
			return err
		}
		_, err := c.run(text, "kubectl", "create", "--dry-run=server", "--validate=strict", "-f", "-")
		return err
	}
	// What users are told to put beside their configuration is beside this one; the
	// server that an agent's names is on this box, if anywhere.
	dir := t.TempDir()
	file := filepath.Join(dir, "config.yaml")
	text = serverKey.ReplaceAllString(strings.ReplaceAll(text, "/etc/skiff/", dir+"/"), "${1}127.0.0.1")
	for path, content := range map[string]string{file: text, filepath.Join(dir, "token"): exampleToken} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return err
		}
	}
	return c.check("--config", file)
}

var serverKey = regexp.MustCompile(`(?m)^(server: https://)[^:/\s]+`)

var exampleToken = "skiff." + strings.Repeat("0a", 32) + ".abcdef.0123456789abcdef"

// check runs `skiff check`, which reads flags and configuration as the server
// does. That this box may not be fit is none of the documentation's faults.
func (c *cluster) check(args ...string) error {
	_, err := c.run("", "skiff", append([]string{"check"}, args...)...)
	if exitCode(err) == 1 {
		return nil
	}
	return err
}

func (c *cluster) shell(b block) error {
	for _, cmd := range commands(b) {
		if err := c.command(cmd, true); err != nil {
			return fmt.Errorf("line %d: %w", cmd.line, err)
		}
	}
	return nil
}

var execLine = regexp.MustCompile(`(?m)^Exec\w*=[-@:+!]*(.*)$`)

// unit checks the commands of a systemd unit.
func (c *cluster) unit(b block) error {
	for _, m := range execLine.FindAllStringSubmatch(b.text, -1) {
		if err := c.shell(block{line: b.line, lang: "sh", text: m[1]}); err != nil {
			return err
		}
	}
	return nil
}
