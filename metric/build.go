package metric

import (
	"github.com/prometheus/client_golang/prometheus"

	"skiff/version"
)

// BuildInfo tells which build a process is, as each of upstream's does.
func BuildInfo() prometheus.Collector {
	info := version.Info()
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "kubernetes_build_info",
		Help: "A metric with a constant '1' value labeled by the version, the commit and the toolchain of the build, and the platform that it runs on.",
		ConstLabels: prometheus.Labels{
			"major": info.Major, "minor": info.Minor, "git_version": info.GitVersion, "git_commit": info.GitCommit,
			"git_tree_state": info.GitTreeState, "build_date": info.BuildDate,
			"go_version": info.GoVersion, "compiler": info.Compiler, "platform": info.Platform,
		},
	}, func() float64 { return 1 })
}
