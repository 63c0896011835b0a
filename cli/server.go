package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"skiff/proxy/overlay"
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
	return show.finish(stopInTime(c.Context, stopPatience, func(ctx context.Context) error {
		return server.Run(ctx, cfg, show.observer())
	}))
}

// stopPatience is how long the parts may take to stop. A stop takes well under a
// second as a rule, and init systems lose their patience; what is killed halfway
// is as after a power cut, which every part is made for.
const stopPatience = 9 * time.Second

// stopInTime returns what run returns, or, once ctx has ended and patience as
// well, an error.
func stopInTime(ctx context.Context, patience time.Duration, run func(context.Context) error) error {
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-ended:
		return err
	case <-time.After(patience):
		return fmt.Errorf("not all of it stopped within %s; ending without the rest, the next start repairs what that leaves", patience)
	}
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
		Overlay:          overlay.Mode(c.String("overlay")),
		DisableAgent:     c.Bool("disable-agent"),
		Disable:          p.list("disable"),
		Node:             p.node(),
		NodeLoss: server.NodeLoss{
			MonitorGrace: p.duration("node-monitor-grace"),
			NotReady:     p.seconds("default-not-ready-toleration-seconds"),
			Unreachable:  p.seconds("default-unreachable-toleration-seconds"),
		},
		WriteKubeconfig: c.String(flagWriteKubeconfig),
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
