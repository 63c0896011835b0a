package cli

import (
	"errors"
	"net/url"

	"github.com/urfave/cli/v2"
)

func agentCommand() *cli.Command {
	return &cli.Command{
		Name:      "agent",
		Usage:     "make this box a node of another box's cluster",
		UsageText: "skiff agent --server https://HOST:6443 --token TOKEN [flags]",
		Flags:     agentFlags(),
		Action:    runAgent,
	}
}

var errAgentCannotJoin = errors.New("agent: this release runs a cluster on one box; joining one from another box comes with the next")

func runAgent(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	if err := loadConfig(c); err != nil {
		return err
	}
	p := parser{Context: c}
	p.checkServerURL(c.String("server"))
	if c.String("token") == "" && c.String("token-file") == "" {
		p.badf("token", "is missing, `skiff server` prints it")
	}
	p.addrs("node-ip")
	p.node()
	if err := p.err(); err != nil {
		return err
	}
	if err := requireRoot("skiff agent"); err != nil {
		return err
	}
	return errAgentCannotJoin
}

func (p *parser) checkServerURL(s string) {
	if s == "" {
		p.badf("server", "is missing, write --server https://HOST:6443")
		return
	}
	if u, err := url.Parse(s); err != nil || u.Scheme != "https" || u.Host == "" {
		p.badf("server", "%q is not an address like https://HOST:6443", s)
	}
}
