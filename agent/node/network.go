package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"

	"skiff/hostnet"
	"skiff/proxy/overlay"
	"skiff/runtime/cni"
	"skiff/runtime/containerd"
	"skiff/runtime/instance"
)

// makeOverlay makes what carries the pods' traffic to other nodes, and the
// network that the node's pods get.
func (n *Node) makeOverlay(factory informers.SharedInformerFactory) error {
	mode, err := overlay.ParseMode(n.cfg.Overlay)
	if err != nil {
		return fmt.Errorf("overlay: %w", err)
	}
	in := instance.Of(n.cfg.DataDir)
	n.network = &network{
		config: func(blocks []netip.Prefix, mtu int) error {
			_, err := cni.ConfigFor(n.cfg.DataDir, blocks, mtu).Write(containerd.CNIConfDir(n.cfg.DataDir))
			return err
		},
		find: func(blocks []netip.Prefix) (int, error) {
			return overlay.MTU(n.overlay.Mode(), n.cfg.Agent.NodeIPs, blocks, n.cfg.MTU)
		},
	}
	n.overlay, err = overlay.New(overlay.Config{
		NodeName: n.cfg.Agent.NodeName, Mode: mode, Link: in.Overlay(), MTU: n.cfg.MTU,
		KeyFile: filepath.Join(n.cfg.DataDir, "agent", "wireguard.key"), PublishKey: n.publishKey,
		OnMTU: n.adoptMTU, OnProblem: n.tellProblem, Logger: n.cfg.Logger,
	}, factory.Core().V1().Nodes().Informer())
	return err
}

// CheckHost refuses ranges of the cluster that overlap a network of the box. That
// of pods is known to the box if another program carries their traffic.
func CheckHost(mode string, clusterCIDRs, serviceCIDRs []netip.Prefix) error {
	return hostnet.Check(Ranges(mode, clusterCIDRs, serviceCIDRs))
}

// Ranges are those of the cluster that must be no network of the box, by the flags
// that set them.
func Ranges(mode string, clusterCIDRs, serviceCIDRs []netip.Prefix) map[string][]netip.Prefix {
	ranges := map[string][]netip.Prefix{"service-cidr": serviceCIDRs}
	if overlay.Mode(mode) != overlay.None {
		ranges["cluster-cidr"] = clusterCIDRs
	}
	return ranges
}

// SetOverlay tells that the cluster's pods reach those of other nodes in another
// way from now on.
func (n *Node) SetOverlay(name string) error {
	mode, err := overlay.ParseMode(name)
	if err != nil {
		return fmt.Errorf("overlay: %w", err)
	}
	return n.overlay.SetMode(mode)
}

// adoptMTU gives the pods that start from now on another MTU.
func (n *Node) adoptMTU(mtu int) {
	if err := n.network.setMTU(mtu); err != nil {
		n.cfg.Logger.Error("pods keep the MTU that they had", "mtu", mtu, "err", err)
	}
}

// publishKey writes the key that other nodes know this one's wireguard link by
// into the node's object.
func (n *Node) publishKey(ctx context.Context, key string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{overlay.KeyAnnotation: key}}})
	if err != nil {
		return err
	}
	_, err = n.deps.Client.CoreV1().Nodes().Patch(ctx, n.cfg.Agent.NodeName, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}

// tellProblem lets `kubectl describe node` tell that pods of other nodes are out of
// reach.
func (n *Node) tellProblem(text string) {
	if n.deps.Recorder == nil {
		return
	}
	name := n.cfg.Agent.NodeName
	n.deps.Recorder.Event(&corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: name, UID: types.UID(name)},
		corev1.EventTypeWarning, "NetworkNotReady", text)
}

// network is what the node's pods get from the built-in network plugin, which
// reads it from a file.
type network struct {
	// config writes the file.
	config func(blocks []netip.Prefix, mtu int) error
	// find finds the MTU. Together with an error it is what fits, or 0.
	find func(blocks []netip.Prefix) (int, error)

	mu     sync.Mutex
	blocks []netip.Prefix // none: not known yet
}

// setBlocks gives pods the node's address blocks.
func (n *network) setBlocks(cidrs []string) error {
	var blocks []netip.Prefix
	for _, c := range cidrs {
		p, err := netip.ParsePrefix(c)
		if err != nil {
			return fmt.Errorf("the node's pod address block: %w", err)
		}
		blocks = append(blocks, p)
	}
	mtu, err := n.find(blocks)
	// The overlay tells of one that does not fit; pods can run with what does.
	if bad := (*overlay.MTUError)(nil); err != nil && (mtu == 0 || !errors.As(err, &bad)) {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.config(blocks, mtu); err != nil {
		return err
	}
	n.blocks = blocks
	return nil
}

// setMTU changes the MTU; before there are blocks, setBlocks finds it.
func (n *network) setMTU(mtu int) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.blocks) == 0 {
		return nil
	}
	return n.config(n.blocks, mtu)
}
