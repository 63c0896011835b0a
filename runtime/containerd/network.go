package containerd

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/invoke"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// explainNetwork lets the runtime's status tell what is wrong with the network's
// configuration. containerd only knows that there is no network, and of a plugin
// that is missing nothing at all until a pod needs it.
func explainNetwork(st *runtimeapi.RuntimeStatus, confDir string, binDirs []string) {
	err := checkNetwork(confDir, binDirs)
	if err == nil {
		return
	}
	for _, c := range st.GetConditions() {
		if c.Type == runtimeapi.NetworkReady {
			c.Status, c.Reason, c.Message = false, "NetworkPluginNotReady", err.Error()
		}
	}
}

// checkNetwork returns what is wrong with the configuration that counts, the first
// by name, in one line; nil if there is none yet.
func checkNetwork(confDir string, binDirs []string) error {
	files, err := libcni.ConfFiles(confDir, []string{".conf", ".conflist", ".json"})
	if err != nil || len(files) == 0 {
		return err
	}
	file := slices.Min(files)
	plugins, err := pluginsOf(file)
	if err != nil {
		return fmt.Errorf("the network configuration %s is broken: mend or remove it (%s)", file, strings.ReplaceAll(err.Error(), "\n", " "))
	}
	for _, p := range plugins {
		if _, err := invoke.FindInPath(p.Network.Type, binDirs); err != nil {
			return fmt.Errorf("the network configuration %s needs the plugin %q, which is not in %s: put it there, or remove the file", file, p.Network.Type, strings.Join(binDirs, " or "))
		}
	}
	return nil
}

// pluginsOf reads a configuration file: a list of plugins or, as it was before CNI
// 0.3, a single one.
func pluginsOf(file string) ([]*libcni.PluginConfig, error) {
	if filepath.Ext(file) == ".conflist" {
		list, err := libcni.NetworkConfFromFile(file)
		if err != nil {
			return nil, err
		}
		return list.Plugins, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	plugin, err := libcni.NetworkPluginConfFromBytes(data)
	return []*libcni.PluginConfig{plugin}, err
}
