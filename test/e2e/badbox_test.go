package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"skiff/test/e2e/host"
)

// TestBadBox starts the server and the agent of a cluster on boxes that do not fit,
// one after the other. What is wrong is told in one line, and the pods that run
// there run on.
func TestBadBox(t *testing.T) {
	t.Parallel()
	b := &badBox{cluster: newCluster(t)}
	b.join(t, b.lan, "two")
	b.two = b.further[0]
	write(t, filepath.Join(b.node.Dir, "pods.yaml"), pinnedPods)
	b.node.Kubectl("apply", "-f", filepath.Join(b.node.Dir, "pods.yaml"))
	b.node.Kubectl("wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s")
	b.before = containers(b.node, "app=pinned")
	b.addresses = strings.Fields(b.node.Kubectl("get", "pods", "-l", "app=pinned", "-o", "jsonpath={.items[*].status.podIP}"))
	t.Run("networks of a server's box", b.serverNetworks)
	t.Run("networks of an agent's box", b.agentNetworks)
	t.Run("another cluster's token", b.otherToken)
	t.Run("too great an MTU", b.mtu)
	t.Run("broken network configuration", b.networkConfiguration)
}

type badBox struct {
	*cluster
	two *host.Host
	// before are the containers of the pinned pods, addresses those of the pods.
	before    string
	addresses []string
}

// pinnedPods are one for each node.
const pinnedPods = `
apiVersion: v1
kind: Pod
metadata: {name: one, labels: {app: pinned}}
spec:
  nodeName: box
  containers: [{name: box, image: "skiff.test/box:v1", command: [probe, serve]}]
---
apiVersion: v1
kind: Pod
metadata: {name: two, labels: {app: pinned}}
spec:
  nodeName: two
  containers: [{name: box, image: "skiff.test/box:v1", command: [probe, serve]}]
`

// answer asks the pods from both nodes.
func (b *badBox) answer(t *testing.T) {
	t.Helper()
	for _, h := range []*host.Host{b.node, b.two} {
		for _, address := range b.addresses {
			if r := h.Run(filepath.Join(b.node.Dir, "probe"), "ask", "http", address+":8080"); r.Code != 0 {
				t.Errorf("%s does not answer %s: %s", address, h.NodeName, r.Stderr)
			}
		}
	}
}

// untouched checks that the pods answer, in the containers that they had.
func (b *badBox) untouched(t *testing.T) {
	t.Helper()
	b.answer(t)
	if after := containers(b.node, "app=pinned"); after != b.before {
		t.Errorf("the containers were\n%sand are\n%s", b.before, after)
	}
}

// startAgent starts the agent as it was started first, but for further flags.
func (b *badBox) startAgent(t *testing.T, flags ...string) {
	t.Helper()
	b.agentFlags = flags
	b.launch(b.two)
	b.two.AwaitReady()
}

func (b *badBox) serverNetworks(t *testing.T) {
	b.node.Stop()
	b.attach(t, b.node, "10.43.250.1/24")
	refused(t, b.node.Run("skiff", "server"), 1,
		`^skiff: service-cidr: 10\.43\.0\.0/16 overlaps 10\.43\.250\.0/24 of this box's link office, whose hosts would be out of reach; choose another --service-cidr for the cluster, or another network for the box$`)
	b.answer(t)
	b.detach(t, b.node)
	b.node.Start("--tls-san", serverName)
	b.untouched(t)
}

func (b *badBox) agentNetworks(t *testing.T) {
	b.two.Stop()
	b.attach(t, b.two, "10.42.250.1/24")
	refused(t, b.two.Run("skiff", "agent", "--server", b.node.URL(), "--token", b.node.Token()), 1,
		`^skiff: cluster-cidr: 10\.42\.0\.0/16 overlaps 10\.42\.250\.0/24 of this box's link office, whose hosts would be out of reach; choose another --cluster-cidr for the cluster, or another network for the box$`)
	b.untouched(t)
	b.detach(t, b.two)
	b.startAgent(t)
	b.untouched(t)
}

// attach gives a box another network.
func (b *badBox) attach(t *testing.T, h *host.Host, address string) {
	t.Helper()
	err := h.Inside(func() error {
		if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "office"}}); err != nil {
			return err
		}
		link, err := netlink.LinkByName("office")
		if err != nil {
			return err
		}
		a, err := netlink.ParseAddr(address)
		if err != nil {
			return err
		}
		return netlink.AddrAdd(link, a)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (b *badBox) detach(t *testing.T, h *host.Host) {
	t.Helper()
	err := h.Inside(func() error {
		return netlink.LinkDel(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "office"}})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (b *badBox) otherToken(t *testing.T) {
	b.two.Stop()
	token := strings.Split(b.node.Token(), ".")
	token[1] = strings.Repeat("0", len(token[1]))
	refused(t, b.two.Run("skiff", "agent", "--server", b.node.URL(), "--token", strings.Join(token, ".")), 1,
		`^skiff: token: it is for another cluster than the one that this box has joined \(.*\): leave that one with .skiff uninstall. first, or choose another --data-dir$`)
	b.untouched(t)
	b.startAgent(t)
}

// mtu asks for more than fits: pods get what does.
func (b *badBox) mtu(t *testing.T) {
	b.two.Stop()
	b.startAgent(t, "--mtu", "9000")
	eventually(t, "the agent says what fits", func() error {
		return logged(b.two, "mtu: 9000 does not fit, eth0 takes packets of 1500 bytes, which leaves 1450 with the overlay vxlan: set --mtu to that at most, or leave it out; pods have 1450")
	})
	b.node.Kubectl("run", "later", "--image="+boxImage, `--overrides={"spec":{"nodeName":"two","terminationGracePeriodSeconds":1}}`, "--", "sleep", "1000")
	b.node.Kubectl("wait", "--for=condition=Ready", "pod/later", "--timeout=60s")
	if got := b.node.Kubectl("exec", "later", "--", "cat", "/sys/class/net/eth0/mtu"); got != "1450\n" {
		t.Errorf("a pod has the MTU %s", got)
	}
	b.untouched(t)
	b.two.Stop()
	b.startAgent(t)
}

// networkConfiguration has a file that counts before the built-in one, as another
// network plugin brings it.
func (b *badBox) networkConfiguration(t *testing.T) {
	other := filepath.Join(b.two.DataDir, "cni", "net.d", "05-other.conflist")
	for text, message := range map[string]string{
		`{"cniVersion": "1.0.0",`: other + " is broken: mend or remove it (error parsing configuration list: unexpected end of JSON input)",
		`{"cniVersion": "1.0.0", "name": "other", "plugins": [{"type": "other"}]}`: other + ` needs the plugin "other", which is not in `,
	} {
		write(t, other, text)
		eventually(t, "the node says what is broken", func() error {
			got := b.node.Kubectl("get", "node", "two", "-o", `jsonpath={.status.conditions[?(@.type=="Ready")]['status','message']}`)
			if !strings.HasPrefix(got, "False ") || !strings.Contains(got, message) {
				return fmt.Errorf("Ready is %q", got)
			}
			return nil
		})
		b.untouched(t)
	}
	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
	b.node.Kubectl("wait", "--for=condition=Ready", "node/two", "--timeout=60s")
	b.node.Kubectl("delete", "pod", "later")
	b.untouched(t)
}
