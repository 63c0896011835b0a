package cli

import (
	"github.com/urfave/cli/v2"

	"skiff/server"
)

func serverCommand() *cli.Command {
	return &cli.Command{
		Name:      "server",
		Usage:     "run a cluster on this box",
		UsageText: "skiff server [flags]",
		Flags:     serverFlags(),
		Action:    runServer,
	}
}

func runServer(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	if err := loadConfig(c); err != nil {
		return err
	}
	cfg, err := serverConfig(c)
	if err != nil {
		return err
	}
	if err := requireRoot("skiff server"); err != nil {
		return err
	}
	show, err := newReporter(c)
	if err != nil {
		return err
	}
	return show.finish(server.Run(c.Context, cfg, show.observer()))
}

// serverConfig reads and checks the server's flags.
func serverConfig(c *cli.Context) (server.Config, error) {
	p := parser{Context: c}
	cfg := server.Config{
		DataDir:          c.String(flagDataDir),
		NodeName:         c.String("node-name"),
		NodeIPs:          p.addrs("node-ip"),
		BindAddress:      p.addr("bind-address"),
		HTTPSPort:        c.Int("https-port"),
		AdvertiseAddress: p.addr("advertise-address"),
		TLSSANs:          c.StringSlice("tls-san"),
		Token:            c.String("token"),
		TokenFile:        c.String("token-file"),
		ClusterCIDRs:     p.prefixes("cluster-cidr"),
		ServiceCIDRs:     p.prefixes("service-cidr"),
		ClusterDNS:       p.addrs("cluster-dns"),
		ClusterDomain:    c.String("cluster-domain"),
		DisableAgent:     c.Bool("disable-agent"),
		Disable:          c.StringSlice("disable"),
		Node:             p.node(),
		WriteKubeconfig:  c.String(flagWriteKubeconfig),
	}
	if err := p.err(); err != nil {
		return cfg, err
	}
	if err := cfg.Validate(); err != nil {
		return cfg, usageError{err}
	}
	return cfg, nil
}

func noArguments(c *cli.Context) error {
	if c.Args().Present() {
		return usagef("%s takes no argument, got %q", commandLine(c), c.Args().First())
	}
	return nil
}
