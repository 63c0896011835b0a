package containerd

import (
	"runtime"
	"strings"

	"github.com/containerd/containerd/v2/cmd/containerd/server/config"
	"github.com/containerd/containerd/v2/version"
	"github.com/containerd/platforms"
)

type table = map[string]any

// daemonConfig is what an administrator would write into containerd's
// config.toml. Plugin tables keep the names they have had since version 3.
func daemonConfig(c *Config, snapshotter string, restrictOOM bool) *config.Config {
	return &config.Config{
		Version: version.ConfigVersion,
		Root:    c.Root,
		State:   c.State,
		RequiredPlugins: []string{
			"io.containerd.grpc.v1.cri",
			"io.containerd.cri.v1.images",
			"io.containerd.cri.v1.runtime",
			"io.containerd.server.v1.ttrpc",
			bridgeURI,
		},
		Plugins: map[string]any{
			"io.containerd.server.v1.grpc":           table{"address": c.grpcAddress()},
			"io.containerd.server.v1.ttrpc":          table{"address": c.ttrpcAddress()},
			"io.containerd.shim.v1.manager":          table{"socket_dir": c.SocketDir},
			"io.containerd.grpc.v1.cri":              criServer(),
			"io.containerd.cri.v1.images":            criImages(c, snapshotter),
			"io.containerd.cri.v1.runtime":           criRuntime(c, snapshotter, restrictOOM),
			"io.containerd.transfer.v1.local":        transfer(c, snapshotter),
			"io.containerd.metadata.v1.bolt":         table{"content_sharing_policy": "shared"},
			"io.containerd.service.v1.tasks-service": table{},
		},
	}
}

func criServer() table {
	return table{
		"disable_tcp_service":   true,
		"stream_server_address": "127.0.0.1",
		"stream_server_port":    "0",
		"stream_idle_timeout":   "4h",
	}
}

func criImages(c *Config, snapshotter string) table {
	t := table{
		"snapshotter":                  snapshotter,
		"disable_snapshot_annotations": true,
		"pinned_images":                table{"sandbox": c.Pause.Name},
		"max_concurrent_downloads":     c.MaxConcurrentDownloads,
		"stats_collect_period":         int(c.StatsPeriod.Seconds()),
	}
	if len(c.RegistryConfigDirs) > 0 {
		t["registry"] = table{"config_path": strings.Join(c.RegistryConfigDirs, ":")}
	}
	return t
}

func criRuntime(c *Config, snapshotter string, restrictOOM bool) table {
	return table{
		"containerd": table{
			"default_runtime_name": "runc",
			"runtimes":             table{"runc": runcRuntime(c)},
		},
		"cni": table{
			"bin_dirs":     c.CNIBinDirs,
			"conf_dir":     c.CNIConfDir,
			"max_conf_num": 1,
			// The loopback plugin would be one more process per pod.
			"use_internal_loopback": true,
		},
		"restrict_oom_score_adj":                 restrictOOM,
		"device_ownership_from_security_context": true,
		// Under our own state directory, so that instances never meet in
		// /var/run/netns and Purge knows what is its own.
		"netns_mounts_under_state_dir": true,
		"stats_collect_period":         c.StatsPeriod.String(),
		"stats_retention_period":       (4 * c.StatsPeriod).String(),
		// A process left behind by an exec must not block the call that is done.
		"drain_exec_sync_io_timeout": "5s",
		"enable_criu":                false,
	}
}

func runcRuntime(c *Config) table {
	return table{
		"runtime_type": "io.containerd.runc.v2",
		"runtime_path": c.Shim,
		"sandboxer":    "podsandbox",
		// Pods that carry the annotation share a shim: see docs/adr.
		"pod_annotations": []string{GroupAnnotation},
		"options": table{
			"BinaryName":    c.Runc,
			"Root":          c.runcRoot(),
			"SystemdCgroup": false,
		},
	}
}

func transfer(c *Config, snapshotter string) table {
	t := table{
		"max_concurrent_downloads": c.MaxConcurrentDownloads,
		"max_concurrent_unpacks":   min(2, runtime.NumCPU()),
		"unpack_config": []table{{
			"platform":    platforms.Format(platforms.DefaultSpec()),
			"snapshotter": snapshotter,
			"differ":      "walking",
		}},
	}
	if len(c.RegistryConfigDirs) > 0 {
		t["config_path"] = strings.Join(c.RegistryConfigDirs, ":")
	}
	return t
}
