package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"strconv"

	"github.com/urfave/cli/v2"

	"skiff/agent/daemon"
	"skiff/agent/node"
	"skiff/datadir"
	"skiff/server"
	"skiff/server/pki"
)

func agentCommand() *cli.Command {
	return &cli.Command{
		Name:      "agent",
		Usage:     "make this box a node of another box's cluster",
		UsageText: "skiff agent --server https://HOST:6443 --token TOKEN [flags]",
		Description: `The token is needed until the box has joined; a server prints it. From then on the node has
certificates of its own, and starts and runs also while the server cannot be reached.`,
		Flags:  agentFlags(),
		Action: runAgent,
	}
}

func runAgent(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	cfg, err := agentConfig(c, true)
	if err != nil {
		return err
	}
	if err := requireRoot("skiff agent"); err != nil {
		return err
	}
	show, err := newReporter(c)
	if err != nil {
		return err
	}
	return show.finish(stopInTime(c.Context, stopPatience, func(ctx context.Context) error {
		return daemon.Run(ctx, cfg, agentReporter{show})
	}))
}

// agentConfig reads the configuration file, and reads and checks the agent's
// flags. With joins, a box that has not joined must have a token.
func agentConfig(c *cli.Context, joins bool) (daemon.Config, error) {
	fileErr := loadConfig(c)
	p := parser{Context: c}
	if err := checkServerURL(c.String("server")); err != nil {
		p.badf("server", "%w", err)
	}
	n := p.node()
	cfg := daemon.Config{
		DataDir:                  c.String(flagDataDir),
		NodeName:                 c.String("node-name"),
		NodeIPs:                  p.addrs("node-ip"),
		Server:                   c.String("server"),
		Token:                    p.joinToken(),
		NodeAPIAddress:           p.addr("node-api-address"),
		ContainerRuntimeEndpoint: n.ContainerRuntimeEndpoint,
		MTU:                      n.MTU,
		Labels:                   n.Labels,
		Taints:                   n.Taints,
	}
	if cfg.DataDir == "" {
		p.badf(flagDataDir, "must not be empty")
	} else if abs, err := filepath.Abs(cfg.DataDir); err == nil {
		cfg.DataDir = abs
	}
	if joins {
		p.needToken(cfg)
	}
	p.errs = append(p.errs, node.Validate(cfg.NodeName, cfg.NodeIPs)...)
	p.log()
	if err := errors.Join(fileErr, p.err()); err != nil {
		return cfg, usageError{err}
	}
	return cfg, nil
}

// agentReporter shows how an agent starts.
type agentReporter struct{ *reporter }

// Ready implements daemon.Observer.
func (r agentReporter) Ready(s daemon.Summary) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notify.ready("node "+s.Node+" of "+s.Server, s.Healthy)
	alone := ""
	if s.Away {
		alone = " without the server, which does not answer"
	}
	if !r.terminal {
		slog.Info("ready"+alone, "node", s.Node, "server", s.Server, "ms", s.Took.Milliseconds())
		return
	}
	fmt.Fprintf(r.out, "\nThis box is the node %s of %s, Ready after %.1f s%s. Ctrl-C stops it; containers run on.\n", s.Node, s.Server, s.Took.Seconds(), alone)
}

// joinToken reads what a node joins with: only a whole token tells it whom it may
// trust.
func (p *parser) joinToken() pki.Token {
	text, err := server.TokenText(p.String("token"), p.String("token-file"))
	switch {
	case err != nil:
		p.errs = append(p.errs, err)
	case text == "":
	default:
		token, err := pki.ParseToken(text)
		if err != nil {
			p.badf("token", "%w, as `skiff server` prints it", err)
		}
		return token
	}
	return pki.Token{}
}

// needToken refuses a box that has not joined and names no token.
func (p *parser) needToken(cfg daemon.Config) {
	if p.String("token") != "" || p.String("token-file") != "" {
		return
	}
	if m, err := datadir.ReadMarker(cfg.DataDir); err == nil && m != nil && m.ServedBy() == datadir.Agent {
		return
	}
	p.badf("token", "is missing, `skiff server` prints it")
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
