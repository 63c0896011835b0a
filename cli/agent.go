package cli

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"

	"github.com/urfave/cli/v2"

	"skiff/server"
	"skiff/server/pki"
)

func agentCommand() *cli.Command {
	return &cli.Command{
		Name:      "agent",
		Usage:     "make this box a node of another box's cluster (not in this release: checks its flags)",
		UsageText: "skiff agent --server https://HOST:6443 --token TOKEN [flags]",
		Flags:     agentFlags(),
		Action:    runAgent,
	}
}

var errAgentCannotJoin = errors.New("agent: the flags are right, but this release runs a cluster on one box only; joining from another box comes with the next one")

func runAgent(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	if err := checkAgent(c); err != nil {
		return err
	}
	if err := requireRoot("skiff agent"); err != nil {
		return err
	}
	return errAgentCannotJoin
}

// checkAgent reads the configuration file and checks the agent's flags.
func checkAgent(c *cli.Context) error {
	fileErr := loadConfig(c)
	p := parser{Context: c}
	if err := checkServerURL(c.String("server")); err != nil {
		p.badf("server", "%w", err)
	}
	p.joinToken()
	if c.String(flagDataDir) == "" {
		p.badf(flagDataDir, "must not be empty")
	}
	p.errs = append(p.errs, server.ValidateNode(c.String("node-name"), p.addrs("node-ip"))...)
	p.node()
	p.log()
	if err := errors.Join(fileErr, p.err()); err != nil {
		return usageError{err}
	}
	return nil
}

// joinToken reads what a node joins with: only a whole token tells it whom it may
// trust.
func (p *parser) joinToken() pki.Token {
	text, err := server.TokenText(p.String("token"), p.String("token-file"))
	switch {
	case err != nil:
		p.errs = append(p.errs, err)
	case text == "":
		p.badf("token", "is missing, `skiff server` prints it")
	default:
		token, err := pki.ParseToken(text)
		if err != nil {
			p.badf("token", "%w, as `skiff server` prints it", err)
		}
		return token
	}
	return pki.Token{}
}

// checkServerURL checks the address of a server: https, a host, maybe a port,
// and nothing more.
func checkServerURL(s string) error {
	if s == "" {
		return errors.New("is missing, write --server https://HOST:6443")
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" {
		return fmt.Errorf("%q is not an address like https://HOST:6443", s)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/" {
		return fmt.Errorf("%q has more than scheme, host and port, write https://%s", s, u.Host)
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return fmt.Errorf("%q has no port between 1 and 65535", s)
		}
	}
	return nil
}
