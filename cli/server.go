package cli

import (
	"errors"

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

// serverConfig reads the configuration file, and reads and checks the server's
// flags.
func serverConfig(c *cli.Context) (server.Config, error) {
	fileErr := loadConfig(c)
	p := parser{Context: c}
	cfg := server.Config{
		DataDir:          c.String(flagDataDir),
		NodeName:         c.String("node-name"),
		NodeIPs:          p.addrs("node-ip"),
		BindAddress:      p.addr("bind-address"),
		HTTPSPort:        p.port("https-port"),
		AdvertiseAddress: p.addr("advertise-address"),
		TLSSANs:          p.list("tls-san"),
		Token:            c.String("token"),
		TokenFile:        c.String("token-file"),
		ClusterCIDRs:     p.prefixes("cluster-cidr"),
		ServiceCIDRs:     p.prefixes("service-cidr"),
		ClusterDNS:       p.addrs("cluster-dns"),
		ClusterDomain:    c.String("cluster-domain"),
		DisableAgent:     c.Bool("disable-agent"),
		Disable:          p.list("disable"),
		Node:             p.node(),
		WriteKubeconfig:  c.String(flagWriteKubeconfig),
	}
	p.log()
	err := p.err()
	if err == nil {
		// Only then: what could not be read would seem to be missing.
		err = cfg.Validate()
	}
	if err = errors.Join(fileErr, err); err != nil {
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
