package cli

import (
	"context"
	"log/slog"
	"net/netip"

	"github.com/urfave/cli/v2"

	"skiff/agent"
	"skiff/agent/join"
	"skiff/agent/node"
	"skiff/cli/check"
	"skiff/datadir"
	"skiff/proxy/overlay"
	"skiff/version"
)

func checkCommand() *cli.Command {
	return &cli.Command{
		Name:      "check",
		Usage:     "find out whether this box is fit to run skiff",
		UsageText: "skiff check [--server https://HOST:6443] [flags]",
		Description: `Looks whether a server could run here with these flags or, with --server, an agent of that
server. It changes nothing.`,
		Flags:  append(serverFlags(), agentOwnFlags()...),
		Action: runCheck,
	}
}

func runCheck(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	box, err := plannedBox(c)
	if err != nil {
		return err
	}
	if err := setUpLog(c, c.App.ErrWriter, slog.LevelWarn); err != nil {
		return err
	}
	if !check.Run(c.Context, c.App.Writer, check.All(box)) {
		return exitCode(exitFailure)
	}
	return nil
}

// plannedBox is the one of the flags: who names a server is to be its agent.
func plannedBox(c *cli.Context) (check.Box, error) {
	if err := loadConfig(c); err == nil && c.String("server") != "" {
		return agentBox(c)
	}
	return serverBox(c)
}

func serverBox(c *cli.Context) (check.Box, error) {
	cfg, err := serverConfig(c)
	if err != nil {
		return check.Box{}, err
	}
	box := check.Box{
		DataDir: cfg.DataDir, Role: datadir.Server, Overlay: cfg.Overlay, Built: version.Built(), Address: cfg.Address,
		Node: !cfg.DisableAgent, DNS: !cfg.DisableAgent && !cfg.Disabled("dns"),
		Ports:  []check.Port{{At: netip.AddrPortFrom(cfg.BindAddress, uint16(cfg.HTTPSPort)), Or: "choose another --https-port"}},
		Ranges: node.Ranges(string(cfg.Overlay), cfg.ClusterCIDRs, cfg.ServiceCIDRs),
	}
	if box.Node {
		box.Ports = append(box.Ports, nodePort(netip.IPv4Unspecified(), "run without a node (--disable-agent)"))
	}
	return box, nil
}

// agentBox takes what only the server knows for what it is by default.
func agentBox(c *cli.Context) (check.Box, error) {
	cfg, err := agentConfig(c, false)
	if err != nil {
		return check.Box{}, err
	}
	at := cfg.NodeAPIAddress
	if !at.IsValid() {
		at = netip.IPv4Unspecified()
	}
	return check.Box{
		DataDir: cfg.DataDir, Role: datadir.Agent, Overlay: overlay.VXLAN, Built: version.Built(), Address: cfg.Address,
		Node: true, DNS: true,
		Ports: []check.Port{nodePort(at, "choose another --node-api-address")},
		Server: func(ctx context.Context) (string, error) {
			return join.Probe(ctx, cfg.Server, cfg.Token)
		},
	}, nil
}

// nodePort is that of the node's API.
func nodePort(at netip.Addr, or string) check.Port {
	return check.Port{At: netip.AddrPortFrom(at, agent.DefaultPort), Or: or}
}
