package cli

import (
	"strings"

	"github.com/urfave/cli/v2"

	"skiff/proxy/overlay"
	"skiff/server"
)

// Names of the flags that code refers to more than once.
const (
	flagConfig          = "config"
	flagDataDir         = "data-dir"
	flagWriteKubeconfig = "write-kubeconfig"
)

const (
	defaultConfigFile = "/etc/skiff/config.yaml"
	defaultDataDir    = "/var/lib/skiff"
	defaultKubeconfig = "/etc/skiff/kubeconfig.yaml"
)

const envPrefix = "SKIFF_"

// env is the variable that stands for a flag: data-dir is SKIFF_DATA_DIR.
func env(flag string) []string {
	return []string{envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))}
}

// envFlag is the flag that a variable stands for.
func envFlag(variable string) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(variable, envPrefix), "_", "-"))
}

func stringFlag(name, value, usage string) cli.Flag {
	return &cli.StringFlag{Name: name, Value: value, Usage: usage, EnvVars: env(name)}
}

func listFlag(name, usage string, value ...string) cli.Flag {
	f := &cli.StringSliceFlag{Name: name, Usage: usage, EnvVars: env(name)}
	if len(value) > 0 {
		f.Value = cli.NewStringSlice(value...)
	}
	return f
}

func configFlag() cli.Flag {
	return stringFlag(flagConfig, defaultConfigFile, "configuration file, its keys are the flags' names")
}

func dataDirFlag() cli.Flag {
	return stringFlag(flagDataDir, defaultDataDir, "folder for everything that must survive a restart")
}

func serviceCIDRFlag() cli.Flag {
	return listFlag("service-cidr", "address range of the services, one per family", "10.43.0.0/16")
}

func clusterDNSFlag() cli.Flag {
	return listFlag("cluster-dns", "service address of the cluster's DNS (default: the tenth one of service-cidr)")
}

// commonFlags are those of every long-running command.
func commonFlags() []cli.Flag {
	return []cli.Flag{
		configFlag(),
		dataDirFlag(),
		stringFlag("token", "", "join token, skiff.HASH.ID.SECRET; a server also takes its secret alone (default: made at first start)"),
		stringFlag("token-file", "", "file that holds the token"),
		stringFlag("log-level", "info", "least level to log: debug, info, warn or error"),
		stringFlag("log-format", "text", "how to log: text or json"),
	}
}

// nodeFlags are those of a command that runs a node.
func nodeFlags() []cli.Flag {
	return []cli.Flag{
		stringFlag("node-name", "", "name of this box's node, kept from the first start on (default: its host name)"),
		listFlag("node-ip", "address of this box, one per family (default: that of the default route's interface)"),
		stringFlag("container-runtime-endpoint", "", "CRI socket to use in place of the embedded containerd"),
		stringFlag("mtu", "", "greatest packet of the pods, in bytes (default: what fits into the node's link)"),
		listFlag("node-label", "label of the node when it registers, KEY=VALUE"),
		listFlag("node-taint", "taint of the node when it registers, KEY=VALUE:EFFECT"),
	}
}

// controlPlaneFlags are those of the server alone.
func controlPlaneFlags() []cli.Flag {
	return []cli.Flag{
		stringFlag("bind-address", "0.0.0.0", "address that the HTTPS port listens on"),
		// A text, so that a wrong one is told together with all other mistakes.
		&cli.StringFlag{Name: "https-port", Value: "6443", DefaultText: "6443", Usage: "the one port of the server", EnvVars: env("https-port")},
		stringFlag("advertise-address", "", "address where others reach this server (default: the node's)"),
		listFlag("tls-san", "further host name or address for the server's certificate"),
		listFlag("cluster-cidr", "address range of the pods, one per family", "10.42.0.0/16"),
		serviceCIDRFlag(),
		clusterDNSFlag(),
		stringFlag("overlay", string(overlay.VXLAN), "how pods of different nodes reach each other: "+overlay.ModeNames()),
		stringFlag("cluster-domain", "cluster.local", "domain of the cluster's DNS names"),
		stringFlag("node-monitor-grace", "40s", "how long a node may be silent before it counts as lost, 2s to 1h"),
		stringFlag("default-not-ready-toleration-seconds", "300", "how long pods stay on a node that is not ready, unless they say otherwise"),
		stringFlag("default-unreachable-toleration-seconds", "300", "how long pods stay on a node that is lost, unless they say otherwise"),
		&cli.BoolFlag{Name: "disable-agent", Usage: "run the control plane only, no node", EnvVars: env("disable-agent")},
		listFlag("disable", "part not to start: "+strings.Join(server.Parts, ", ")),
		stringFlag(flagWriteKubeconfig, defaultKubeconfig, "file for the administrator's credentials, mode 0600"),
	}
}

// agentOwnFlags are those of the agent alone.
func agentOwnFlags() []cli.Flag {
	return []cli.Flag{
		stringFlag("server", "", "address of a server to join, https://HOST:6443"),
		stringFlag("node-api-address", "", "address that the node's API listens on; servers reach it on 127.0.0.1 as well (default: every address)"),
	}
}

func serverFlags() []cli.Flag {
	return append(append(commonFlags(), nodeFlags()...), controlPlaneFlags()...)
}

func agentFlags() []cli.Flag {
	return append(append(agentOwnFlags(), commonFlags()...), nodeFlags()...)
}
