package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"skiff/test/e2e/host"
	"skiff/test/script"
)

// cluster is what the scripts run on: a server, maybe further nodes, and a host
// outside of the cluster that reaches it and is reached by it.
type cluster struct {
	lan           *host.Network
	node, outside *host.Host
	further       []*host.Host
	agentFlags    []string // of those that join
	names         *zone
	client        kubernetes.Interface
}

// TestScripts runs the scripts in testdata/script at once, on one server. Besides
// testscript's own commands and those of package script they know
//
//	kubectl ARGS       the built-in kubectl, as administrator, in the script's
//	                   own Kubernetes namespace $NS
//	skiff ARGS         the skiff that is tested
//	inside COMMAND     any command, in the network of the node $NODE_IP
//	outside COMMAND    the same, on the host $OUTSIDE_IP, which is no node
//	on NODE COMMAND    the same, on the node of that name, whose address is $NODE_IP
//	                   or $(NODE in capital letters)_IP
//	probe              see package probe
//
// and find the images skiff.test/box:v1 and :v2 (busybox and probe), which differ
// in name alone.
func TestScripts(t *testing.T) {
	t.Parallel()
	newCluster(t).run(t, "testdata/script/*.txtar")
}

// TestNodeScripts runs a script that changes the node, on a server of its own.
func TestNodeScripts(t *testing.T) {
	t.Parallel()
	newCluster(t, "--node-label", "role=edge").run(t, "testdata/node/*.txtar")
}

func (c *cluster) run(t *testing.T, pattern string) {
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Files:              files,
		RequireUniqueNames: true,
		Setup:              c.setup,
		Cmds:               script.Commands(),
	})
}

func newCluster(t *testing.T, flags ...string) *cluster {
	t.Helper()
	c := &cluster{lan: host.NewNetwork(t), names: newZone()}
	c.outside = host.New(t, host.Config{Network: c.lan})
	c.node = c.newHost(t, c.lan, "box")
	c.names.serve(t, c.outside)
	c.names.set(serverName+".", c.node.Addr)
	program, err := build("skiff/test/e2e/probe")
	if err == nil {
		err = os.WriteFile(filepath.Join(c.node.Dir, "probe"), program, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.node.Start(append(flags, "--tls-san", serverName)...)
	importBox(t, c.node, "skiff.test/box:v2")
	if c.client, err = kubernetes.NewForConfig(c.node.RESTConfig()); err != nil {
		t.Fatal(err)
	}
	return c
}

// newHost makes a host for a node.
func (c *cluster) newHost(t *testing.T, n *host.Network, name string) *host.Host {
	t.Helper()
	cfg := host.Config{
		Network: n, NodeName: name,
		ResolvConf: fmt.Sprintf("nameserver %s\nsearch lan.example\n", c.outside.Addr),
	}
	if n == c.lan {
		cfg.Gateway = c.outside.Addr // whatever the node does not know leads to the host outside
	}
	return host.New(t, cfg)
}

// serverName is a name of the server, which nodes join it by: it leads to the
// server's address, also after that has changed.
const serverName = "skiff.lan.example"

func (c *cluster) launch(h *host.Host) {
	h.LaunchAgent(c.node, append([]string{"--server", "https://" + serverName + ":6443"}, c.agentFlags...)...)
}

// join makes further nodes, all at once.
func (c *cluster) join(t *testing.T, n *host.Network, names ...string) {
	t.Helper()
	for _, name := range names {
		h := c.newHost(t, n, name)
		c.launch(h)
		c.further = append(c.further, h)
	}
	for _, h := range c.further[len(c.further)-len(names):] {
		h.AwaitReady()
		importBox(t, h, "skiff.test/box:v2")
	}
}

// setup gives a script its namespace and its variables.
func (c *cluster) setup(e *testscript.Env) error {
	name, _, _ := strings.Cut(filepath.Base(e.WorkDir), ".")
	ns := strings.ReplaceAll(strings.TrimPrefix(name, "script-"), "_", "-")
	ctx := context.Background()
	_, err := c.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	e.Defer(func() {
		// Not waited for: the host is removed with all that runs.
		_ = c.client.CoreV1().Namespaces().Delete(ctx, ns, metav1.DeleteOptions{})
	})
	kubeconfig := filepath.Join(e.WorkDir, ".kubeconfig")
	if err := c.writeKubeconfig(kubeconfig, ns); err != nil {
		return err
	}
	for key, value := range map[string]string{
		envBinary: c.node.Binary, envNode: c.node.Name, envOutside: c.outside.Name,
		"NS": ns, "NODE": c.node.NodeName, "NODE_IP": c.node.Addr.String(), "OUTSIDE_IP": c.outside.Addr.String(),
		"SKIFF_CONFIG": c.node.ConfigFile, "KUBECONFIG": kubeconfig, "HOME": filepath.Join(c.node.Dir, "home"),
		"PATH": c.node.Dir + string(os.PathListSeparator) + e.Getenv("PATH"),
	} {
		e.Setenv(key, value)
	}
	for _, h := range append(c.further, c.node) {
		e.Setenv(envHost+h.NodeName, h.Name)
		e.Setenv(strings.ToUpper(h.NodeName)+"_IP", h.Addr.String())
	}
	return nil
}

// writeKubeconfig writes the administrator's credentials with another default
// namespace.
func (c *cluster) writeKubeconfig(path, namespace string) error {
	config, err := clientcmd.LoadFromFile(c.node.Kubeconfig)
	if err != nil {
		return err
	}
	for _, context := range config.Contexts {
		context.Namespace = namespace
	}
	return clientcmd.WriteToFile(*config, path)
}
